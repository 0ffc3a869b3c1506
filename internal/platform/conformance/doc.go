// Package conformance is a black-box suite of the Schema Registry API: what a registry has to answer, as text files, and what runs
// them against any URL. It knows nothing of how a registry is made, so that the same cases judge this one and others.
//
// A file of api/ is a group. Its cases are requests and what must come back:
//
//	== registering answers with the id, which leads to the schema
//	POST /subjects/<s>/versions
//	{"schema": `{"type": "string"}`}
//	200 {"id": id=int}
//
//	GET /schemas/ids/<id>
//	200 {"schema": `"string"`, "schemaType": absent}
//
//	GET /subjects/<s>/versions/7
//	404 40402
//
// Text in back quotes is a JSON string. <s> is a subject, <c> a context and <r> a resource that no other case uses; more names begin
// with these, <s>-b. A name that an answer was given (id=) stands for it from then on. Lines "Name: value" are headers, of the request
// before its body and of the answer after its status. The number after the status is the error_code of the answer. What a body may
// be is said in pattern.go. "@ global" before the first request means that the case changes what all subjects share; it is left out unless
// asked for.
//
// A file of compatibility/ tells pairs of schemas, what may be done between them, and which types of difference a refusal has to
// name; see compatibility.go.
//
// Files of peers/ name the cases in which another registry is known to differ, by the reason for it; see peers.go. What is right was
// decided by Confluent's documents and by the answers of its registry 8.x, to which every case has been put.
//
// Every case has names of its own and removes what it made, so cases run side by side, on a registry that is in use. Nothing is kept
// between runs. A Run may be called from any goroutine; what it returns is the caller's.
package conformance
