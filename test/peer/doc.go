// Package peer runs written exchanges of the Kafka protocol against a broker, over plain TCP connections, and turns the
// answers into a transcript that can be compared between brokers.
//
// A scene is a file in testdata. It is a list of blocks, separated by blank lines:
//
//	# a comment
//	batch b1 {values: [x, y], codec: gzip}
//
//	let tid = Topics[0].TopicID
//
//	@c2 until("STABLE") Metadata v12 {Topics: [{Topic: a-$run}]}
//	----
//	Topics:
//	- ErrorCode=NONE Topic=a-$run TopicID=$tid
//
// A block with "----" is an exchange: the lines above it are the request, the lines below it are the answer of Apache
// Kafka. A request is written with the field names of kmsg and filled in by reflection, so that a scene needs no Go code;
// fields that are not named keep the defaults of the protocol. What differs between two runs of the same broker (ids,
// addresses, times, sizes) is replaced by a name, and lists whose order the protocol leaves open are sorted.
//
// The package promises that two brokers which answer alike give equal transcripts, and that nothing else in an answer is
// left out: an answer that does not encode back to the bytes received is marked, so that stray bytes cannot hide.
//
// The golden answers are recorded from Apache Kafka only (go test -tags peer -rewrite). Differences of another broker
// that are known and justified are listed with their reasons in testdata/differences.txt, and those of a cluster in
// differences-cluster.txt, of one with several brokers in differences-brokers.txt; one that no longer occurs is an error too. A Runner and its connections belong to one goroutine. The package does not start or stop brokers.
package peer
