// Package weirtest runs a Weir server inside a test: the real broker, in the test's own process and in memory.
//
//	func TestOrders(t *testing.T) {
//		server := weirtest.Start(t, weirtest.Topic("orders", 3))
//		client, err := kgo.NewClient(kgo.SeedBrokers(server.Addr()), kgo.DefaultProduceTopic("orders"))
//		...
//	}
//
// Nothing is faked: requests come over a TCP connection on a free port of the loopback, are checked, logged, synced and
// recovered by the code that a production server runs. Only what lies below is memory: files, objects and
// metadata. So any Kafka client works with it, and a server starts in a few milliseconds and leaves nothing behind.
//
// The settings are those of a server, but for those that would make a test wait: the first rebalance of a group has no
// delay, and __consumer_offsets has few partitions. [Setting] changes any of them by its Kafka name.
//
// A server ends with its test, after the functions that the test gave to Cleanup later. If it fails meanwhile, or does
// not stop, the test fails. Servers share nothing: tests may run in parallel, each with its own. All methods may be
// called from any goroutine but those that take a test, which belong to the test's.
//
// The package does not make clients, and it is not a place to keep data: a server's memory grows with what is
// written to it, up to what retention keeps.
package weirtest
