// GetTelemetrySubscriptions, key 71, version 0.
//
// Tells a client which of its metrics to push, and how often (KIP-714), and gives it an instance id if it has none. Asking
// again before the interval is over is THROTTLING_QUOTA_EXCEEDED, unless the last push was refused.
//
// Differences from Kafka: it is always offered, since metrics of clients are always taken and shown under /metrics.
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/telemetry"
)

// telemetryCodecs are the codecs that pushes may have, the best first.
var telemetryCodecs = [...]int8{4, 3, 1, 2}

func (s *Server) getTelemetrySubscriptions(_ context.Context, c *Conn, req *kmsg.GetTelemetrySubscriptionsRequest) (*kmsg.GetTelemetrySubscriptionsResponse, error) {
	res := kmsg.NewPtrGetTelemetrySubscriptionsResponse()
	sub, err := s.telemetry.Subscribe(req.ClientInstanceID, c.telemetryClient(), s.now())
	if err != nil {
		res.ErrorCode = codeOf(err).Code()
		return res, nil
	}
	res.ClientInstanceID, res.SubscriptionID = sub.Instance, sub.ID
	res.AcceptedCompressionTypes = telemetryCodecs[:]
	res.PushIntervalMillis, res.TelemetryMaxBytes = int32(sub.Interval.Milliseconds()), int32(s.telemetry.MaxBytes()) //nolint:gosec // both are bounded settings
	res.DeltaTemporality, res.RequestedMetrics = true, sub.Metrics
	return res, nil
}

// telemetryClient is what rules of telemetry look at.
func (c *Conn) telemetryClient() telemetry.Client {
	return telemetry.Client{ClientID: c.ClientID, SoftwareName: c.SoftwareName, SoftwareVersion: c.SoftwareVersion, Address: c.Peer, Port: c.PeerPort}
}
