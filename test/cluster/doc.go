// Package cluster puts a cluster of built brokers, with a real etcd and a real S3 server, under faults and under load.
//
// Each broker is a process that reaches etcd and S3 through proxies of its own, so that one broker can be cut from one of them while
// the others are not:
//
//	broker i ──> Link i ──────> etcd      cut, frozen, or mute: what is asked arrives, and no answer comes back
//	             at times by Gate i       every answer late, what watches tell late, or connections reset in the place of a transaction's outcome
//	         ──> Gateway i ───> S3        cut, frozen, slow, refusing (503, 429 with Retry-After, 403 as for keys that have run out, 307), answers
//	                                      of writes lost, of their repetitions too, PUTs that arrive late, bodies that do not come whole, listings
//	                                      of what was, and on small pages
//
// The load is that of test/torture, on all brokers at once: a verifying producer, movers of transactions, zombies, and groups of both
// protocols; its checkers tell what was lost, doubled, torn, read too early, or owned by two. Faults come one after the other, at
// times two of them: kill -9, SIGSTOP for longer than a lease, a second process with a broker's id, rolling restarts, and whatever the
// proxies and the servers themselves can do. Each kind comes once before any comes again; the report says how often each was done, and how often
// the proxies did something of it. Clocks cannot be set for one process alone: brokers whose clocks are set are simulated, in internal/broker/shard
// and internal/broker/cluster.
//
// A cluster that loses its etcd is restored, from the bucket alone and from snapshots; an etcd of three members loses some of them; and a
// server that keeps its log on the local disk is left without S3.
//
// Kafka's own clients and tools (testdata/Clients.java; Java 17 and Maven are needed) must see nothing of a rolling restart, nor of kills.
//
// Four tests measure instead: how long partitions stay without acknowledgements after a kill and in a planned move, that a
// rolling restart is no error to any client, and what members of a large group notice when its coordinator moves.
//
// Tests with a binary have the build tag clusterchaos (and need the tag cluster, for the servers): $TEST_BINARY names the binary,
// $CHAOS_SECONDS says for how long (default 600), and $CHAOS_SEED repeats the choices of a run. What was done when is printed if a test
// fails, and the logs of the brokers stay in a folder that is printed too. `make cluster-chaos` runs them.
package cluster
