// Package rest is the REST proxy: Kafka for whoever speaks HTTP. It serves Confluent's API v2 and v3 on one listener, and beside it
// what those lack: streams of records that are pushed (Server-Sent Events, WebSocket, NDJSON), CloudEvents in and out, and webhooks.
//
//	gate (who calls, limits, routes) ──► handlers ──► a Kafka client that acts as the caller ──► any Kafka cluster
//	                                        ├─ embedded    data in JSON ◄─► bytes of records, by the registry's schemas
//	                                        ├─ consumers   instances of v2, members of groups between requests
//	                                        ├─ tail        one consumer of a topic for all who follow it
//	                                        └─ webhook     signatures of services that call in
//
// [Server.Routes] is the one table of what is served; the gate routes by it and makes the OpenAPI document of it. Every handler works
// as the caller, so the cluster's ACLs decide, and nothing is kept for a caller but his consumer instances and streams, which are
// bounded and end when they are idle. Failures are answered with Confluent's codes (errors.go); nothing that a client sends is a 500.
//
// Requests are served in net/http's goroutines. The Server has no lock of its own; those of its parts stand in their packages.
package rest
