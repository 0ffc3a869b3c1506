// Package peer is how brokers of a cluster speak to each other: by the Kafka protocol, on the listener WEIR, which a broker
// opens beside those for clients.
//
//	coordinator, handlers ── Do(ctx, broker, request) ──▶ Client ── pool of connections ──▶ listener WEIR of that broker
//	                                                        └─ address, life: cluster.Directory
//
// A connection carries one request at a time, so nobody waits behind another's disk and a time-out ends that one connection
// alone; up to Options.Connections of them are open to a broker, and callers beyond that wait for one. What is
// to be fast in numbers (markers, verifications) is put together by its caller. A broker that cannot be reached is let alone
// for a pause that grows; meanwhile calls to it fail at once. A connection belongs to one life of a broker: when the
// directory tells of another one, those of the old are not used again.
//
// Who is a broker of the cluster is proved both ways with SCRAM-SHA-256 by a secret of 32 random bytes, which the first broker puts
// into the metadata store. It is no user, on no other listener.
//
// A Watch holds a connection to each of the next three brokers and has one expelled whose process has ended, long before its lease does.
//
// An error of Do that is not a kafka.Error leaves open whether the request took effect. Do does not try again: its callers
// know what may be asked twice, and of whom. All methods may be called from any goroutine. The mutex of a pool is held for
// bookkeeping only, and the package calls nobody with it held.
package peer
