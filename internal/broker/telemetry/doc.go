// Package telemetry takes the metrics that clients push (KIP-714) and shows them with the broker's own.
//
// An operator subscribes to metrics: some prefixes of names, an interval, and which clients are meant, by their names,
// software and addresses. A client asks what it shall push, is given an instance id and a subscription id, and pushes every
// interval. The subscription id is a checksum of what is asked, so a client finds out with its next push that it changed.
//
//	GetTelemetrySubscriptions ──> Receiver.Subscribe      rules, instances
//	PushTelemetry ──────────────> Receiver.Push           ── decode (otlp.go) ──> series of the instance
//	/metrics ───────────────────> Receiver.Collect        one series per point: kafka_client_<name>{...}
//
// Everything that clients choose is bounded: instances, series of an instance and of all, the length of names and labels,
// and the bytes that a push may hold and expand to. A client beyond the bound of instances gets the place of the one that
// was silent longest; a series beyond its bound is dropped and counted. An instance that has not pushed for three intervals
// is forgotten with its series.
//
// Clients are asked for deltas, which are added up here; gauges and cumulative sums replace what was there. Of histograms
// the count and the sum are kept.
//
// A Receiver may be used from any goroutine. One mutex guards instances and series; pushes are decoded outside it. The
// package knows no message types of the wire and nothing of the broker.
package telemetry
