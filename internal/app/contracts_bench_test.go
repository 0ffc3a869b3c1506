package app_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/weir-stream/weir/internal/kafka/record"
)

// BenchmarkProduceWithContract sends a batch of small records, made once, again and again to topics that differ in their contract alone. An
// absent contract and one of mode off take the same way; observe and reject look at the id of each record.
func BenchmarkProduceWithContract(b *testing.B) {
	const records = 2000
	s := mustStart(b, b.TempDir())
	builder := record.NewBuilder(record.None, 0)
	value := order(fmt.Sprintf("%060d", 7), 3)
	for range records {
		builder.Append(1_000_000, nil, value, nil)
	}
	batch := builder.Build(record.BuildOptions{})
	for i, c := range []struct{ name, mode string }{{"absent", ""}, {"off", "off"}, {"observe", "observe"}, {"reject", "reject"}} {
		topic := fmt.Sprintf("bench%d", i)
		configs := map[string]*string{"retention.bytes": new("1048576")}
		if c.mode != "" {
			configs["weir.contract.mode"], configs["weir.contract.level"] = new(c.mode), new("id")
		}
		if _, err := kadm.NewClient(s.client(b)).CreateTopic(b.Context(), 1, 1, configs, topic); err != nil {
			b.Fatal(err)
		}
		registerSchemas(b, s, topic+"-value", nil, orderSchema)
		b.Run("contract="+c.name, func(b *testing.B) {
			cl := s.client(b, kgo.MaxVersions(kversion.V3_0_0())) // names in the place of ids
			req := kmsg.NewPtrProduceRequest()
			req.Acks, req.TimeoutMillis = 1, 10_000
			t, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
			p.Records = batch
			t.Topic, t.Partitions = topic, append(t.Partitions, p)
			req.Topics = append(req.Topics, t)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				res, err := req.RequestWith(b.Context(), cl)
				if err == nil {
					err = kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
		})
	}
}
