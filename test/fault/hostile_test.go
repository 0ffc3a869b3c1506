//go:build fault

package fault

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestGarbageHurtsNobodyElse sends garbage from 64 connections while a good client produces and reads one record at a
// time: the broker lives, its memory grows by less than 200 MiB, and the good client is served in time.
func TestGarbageHurtsNobodyElse(t *testing.T) {
	const (
		topic, partitions = "garbage", int32(1)
		connections       = 64
		growthBytes       = 200 << 20
	)
	rng := random(t)
	b := start(t, filepath.Join(t.TempDir(), "data"), freeAddress(t, rng))
	if err := createTopic(t.Context(), b.Kafka, topic, partitions); err != nil {
		t.Fatal(err)
	}
	if _, err := serveGood(t.Context(), b.Kafka, topic, 200); err != nil { // warm
		t.Fatal(err)
	}
	before, err := b.ResidentBytes()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(number(t, "FAULT_SECONDS", 30))*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var made atomic.Int64
	for range connections {
		r := rand.New(rand.NewPCG(rng.Uint64(), 3))
		wg.Go(func() { made.Add(int64(insult(ctx, b.Kafka, r))) })
	}
	var latencies []time.Duration
	peak := before
	for ctx.Err() == nil {
		took, err := serveGood(t.Context(), b.Kafka, topic, 20)
		if err != nil {
			t.Fatalf("the good client: %v", err)
		}
		latencies = append(latencies, took...)
		rss, err := b.ResidentBytes()
		if err != nil {
			t.Fatalf("the broker is gone: %v", err)
		}
		peak = max(peak, rss)
	}
	wg.Wait()
	slices.Sort(latencies)
	p99, worst := latencies[len(latencies)*99/100], latencies[len(latencies)-1]
	t.Logf("%d hostile connections; memory %d MiB before, %d MiB at most; good client: %d records, p99 %v, worst %v",
		made.Load(), before>>20, peak>>20, len(latencies), p99, worst)
	if peak-before > growthBytes {
		t.Errorf("memory grew by %d MiB", (peak-before)>>20)
	}
	if p99 > time.Second || worst > 5*time.Second {
		t.Errorf("the good client waited too long: p99 %v, worst %v", p99, worst)
	}
}

// serveGood connects, writes n records one by one and reads the last one back. It returns how long each write took; a
// client that is not served within 20 s gives an error.
func serveGood(ctx context.Context, addr, topic string, n int) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cl, err := client(addr, kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var took []time.Duration
	var last *kgo.Record
	for range n {
		begin := time.Now()
		if last, err = cl.ProduceSync(ctx, kgo.StringRecord("good")).First(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {last.Partition: kgo.NewOffset().At(last.Offset)}})
	for {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			return nil, err
		}
		if rs := fs.Records(); len(rs) > 0 && string(rs[0].Value) == "good" {
			return took, nil
		}
	}
}
