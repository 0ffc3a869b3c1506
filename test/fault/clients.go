package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// client makes a kgo client that comes back quickly after a restart of the broker.
func client(addr string, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addr), kgo.MetadataMinAge(50 * time.Millisecond), kgo.DialTimeout(time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.RetryTimeout(time.Minute),
	}, opts...)...)
}

// createTopic creates a topic and waits until each partition has a leader.
func createTopic(ctx context.Context, addr, topic string, partitions int32) error {
	cl, err := client(addr)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(ctx, partitions, 1, nil, topic); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	for {
		ends, err := adm.ListEndOffsets(ctx, topic)
		if err == nil && ends.Error() == nil && len(ends[topic]) == int(partitions) {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// produce sends unique values to random partitions until ctx ends, perTick of them every 10 ms, and then waits until each
// is acknowledged. It is idempotent with acks=all. Any error means that the broker broke a promise: there is no loss that
// an idempotent producer with patience has to accept.
func produce(ctx context.Context, addr, topic, name string, partitions int32, perTick int, rng *rand.Rand, h *History) error {
	cl, err := client(addr, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.StopProducerOnDataLossDetected(), kgo.UnknownTopicRetries(-1), kgo.MaxBufferedRecords(20000),
		kgo.ProducerBatchCompression([]kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}[rng.IntN(3)]))
	if err != nil {
		return err
	}
	defer cl.Close()
	failed := make(chan error, 1)
	after := context.WithoutCancel(ctx) // what was handed over is sent, also after the end
	for n := 0; ctx.Err() == nil; {
		for range perTick {
			value := fmt.Sprintf("%s-%d-%s", name, n, strings.Repeat("x", rng.IntN(200)))
			n++
			h.Sent(value)
			cl.Produce(after, &kgo.Record{Partition: rng.Int32N(partitions), Value: []byte(value)}, func(r *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- fmt.Errorf("producer %s: %w", name, err):
					default:
					}
					return
				}
				h.Acked(Place{r.Partition, r.Offset}, string(r.Value))
			})
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			break
		}
	}
	limit, cancel := context.WithTimeout(after, 60*time.Second)
	defer cancel()
	if err := cl.Flush(limit); err != nil {
		return fmt.Errorf("producer %s: flush: %w", name, err)
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// tail reads the topic from the start, across restarts, until ctx ends.
func tail(ctx context.Context, addr, topic, name string, partitions int32, h *History) error {
	cl, err := client(addr, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts(partitions)}), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for ctx.Err() == nil {
		fs := cl.PollFetches(ctx)
		for _, fe := range fs.Errors() {
			var ke *kerr.Error
			if errors.As(fe.Err, &ke) && !ke.Retriable {
				return fmt.Errorf("consumer %s, partition %d: %w", name, fe.Partition, fe.Err)
			}
		}
		fs.EachRecord(func(r *kgo.Record) { h.Saw(name, Place{r.Partition, r.Offset}, string(r.Value)) })
	}
	return nil
}

func starts(partitions int32) map[int32]kgo.Offset {
	m := map[int32]kgo.Offset{}
	for p := range partitions {
		m[p] = kgo.NewOffset().At(0)
	}
	return m
}

// read reads the whole topic up to its present end. mustHave is what has to be in it.
func read(ctx context.Context, addr, topic string, partitions int32, mustHave map[Place]string) (Reading, error) {
	r := Reading{HighWatermarks: map[int32]int64{}, Values: map[Place][]string{}, MustHave: mustHave}
	cl, err := client(addr, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts(partitions)}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords())
	if err != nil {
		return r, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return r, fmt.Errorf("end offsets: %w", err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) {
		r.HighWatermarks[o.Partition] = o.Offset
		left += o.Offset
	})
	for left > 0 {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return r, fmt.Errorf("%d records below the high watermarks did not come: %w", left, ctx.Err())
		}
		if errs := fs.Errors(); len(errs) > 0 {
			return r, fmt.Errorf("read partition %d: %w", errs[0].Partition, errs[0].Err)
		}
		fs.EachRecord(func(rec *kgo.Record) {
			if p := (Place{rec.Partition, rec.Offset}); p.Offset < r.HighWatermarks[p.Partition] {
				r.Values[p] = append(r.Values[p], string(rec.Value))
				left--
			}
		})
	}
	return r, nil
}
