// Package quota holds clients to the rates that operators set for them (KIP-13, 124, 546, 599 and 612): bytes produced and
// consumed, time that requests take, mutations of topics, and new connections of an address.
//
// A quota belongs to an Entity: a user, a client id, both, or an address, each by name or as the default of all that have
// no quota of their own. Of the eight kinds of entities that may fit a client the most special one that has a quota of
// the asked kind counts, in Kafka's order:
//
//	user and client id · user, any client id · user · any user and client id · any user, any client id · any user ·
//	client id · any client id
//
// Who shares the entity by which the quota was found shares the rate: all clients of a user for a quota of the user, each
// user and client id apart for one of any user and any client id.
//
// A rate is counted in windows (rate.go) or by a bucket of tokens (bucket.go); both are arithmetic on a time that is handed
// in. What is over the quota is answered with the time after which the rate would be back at it. Nobody waits here: the
// broker tells the client and leaves its connection unread for that long.
//
// A Manager may be used from any goroutine. Load publishes a new table of quotas as a whole; while there is no quota of a
// kind, asking for that kind costs one atomic load. Rates are kept in maps under one mutex, under which nothing waits; one that was
// not used for all its windows is equal to none and is dropped, so that clients that make up names cannot fill memory: there
// are never more than maxRates.
//
// Quotas are kept by package topics in the metadata store, under the text form of their entity. The package imports
// nothing of the broker.
package quota
