// PushTelemetry, key 72, version 0.
//
// Takes metrics of a client, OTLP and perhaps compressed, and shows them under /metrics until the client has been silent for
// three intervals. What is too early, of another subscription, too large or no metrics is refused: see telemetry.Receiver.
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/telemetry"
	"github.com/weir-stream/weir/internal/kafka/record"
)

func (s *Server) pushTelemetry(_ context.Context, c *Conn, req *kmsg.PushTelemetryRequest) (*kmsg.PushTelemetryResponse, error) {
	res := kmsg.NewPtrPushTelemetryResponse()
	res.ErrorCode = codeOf(s.telemetry.Push(telemetry.Push{
		Instance: req.ClientInstanceID, Subscription: req.SubscriptionID, Terminating: req.Terminating,
		Codec: record.Codec(req.CompressionType), Metrics: req.Metrics,
	}, c.telemetryClient(), s.now())).Code()
	return res, nil
}
