// Package gate is the HTTP front door of every platform service: the Schema Registry, the REST proxy and those to come.
//
// A service hands it one table of [Route] values; the table routes, and the OpenAPI document at /openapi.json is made of it. For
// each request the gate, in this order:
//
//	finds the route (404, 405) → answers CORS, where origins are allowed → finds out who calls (401) → bounds and unpacks the body
//	(413, 415) → calls the handler with the [Caller] in the context → turns its error into {"error_code", "message"}
//
// A panic is a 500 with a JSON body and an Error in the log; HEAD is served by the route of GET; one trailing slash is as good as
// none. A listener has TLS if it was given one, read again when its files change. At its end the gate accepts nothing more, ends
// the contexts of streams at once and lets other requests finish for drainTimeout.
//
// Who calls is a matter of the [Bridge], and there are two kinds. Inside a Weir server it asks the broker's own users, tokens,
// certificates and ACLs, and gives connections on which the broker knows the caller. [Outside] is for a service alone on any
// Kafka: the credentials become those of a Kafka client of the caller's own, and the cluster says what he may. Either way the caller
// is the principal that Kafka knows. [Clients] keeps a bounded number of clients for callers.
//
// The gate decides nothing about what a caller may do: handlers ask [Bridge.Allowed] for each resource. It writes no secret into
// logs, metrics or answers. Handlers run in net/http's goroutines, any number at once.
//
// Lock order: Clients.mu stands alone; no call is made under it.
package gate
