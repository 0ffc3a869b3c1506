// Package load puts load on a broker through an ordinary client and measures what comes of it: the engine of
// 'weir bench'.
//
// There are three ways. Produce writes as fast as the broker acknowledges, or at a fixed rate. Consume reads what a topic
// holds from its start. EndToEnd writes at a fixed rate and reads at the same time.
//
// Rates are an open loop: each record has a time at which it is due, and its latency counts from that time, whether or
// not the writer was late. A stalled broker thus shows up in every record that had to wait, not only in one.
//
// A Run counts with atomics while it goes, so that another goroutine may show progress with Snapshot. Everything that a
// run starts has ended when it returns. It creates no topics and deletes none.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/histogram"
)

// Options describe a load. The zero value of each field has the meaning that its comment gives.
type Options struct {
	Topic       string
	RecordBytes int           // of each value; 0 means 1,024, and EndToEnd needs 8 at least
	Duration    time.Duration // of the measured time; 0 means 10 s
	Warmup      time.Duration // before it, not counted
	Records     int64         // stop after this many; 0 means by time alone
	Rate        float64       // records a second; 0 means as many as go (EndToEnd: 1,000)
	Clients     int           // connections that write or read; 0 means 1
	Keys        int           // number of distinct keys; 0 means no keys
	Payload     Payload       // what values consist of; "" means letters
	Seed        uint64        // of payloads and keys
}

func (o Options) withDefaults() Options {
	if o.RecordBytes == 0 {
		o.RecordBytes = 1024
	}
	if o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	o.Clients = max(o.Clients, 1)
	if o.Payload == "" {
		o.Payload = Letters
	}
	return o
}

// NewClient makes a client with further options. The run closes it.
type NewClient func(...kgo.Opt) (*kgo.Client, error)

// Run is one load. Make it with New; it runs once.
type Run struct {
	options Options
	open    NewClient

	records, bytes, errors atomic.Int64
	latency, ackLatency    histogram.Histogram
	firstErr               atomic.Pointer[error]
}

// New returns a run of o with clients from open.
func New(o Options, open NewClient) *Run {
	return &Run{options: o.withDefaults(), open: open}
}

// Snapshot is the state of a run while it goes: what counted so far.
type Snapshot struct {
	Records, Bytes, Errors int64
	P50, P99               time.Duration
}

// Snapshot may be called at any time.
func (r *Run) Snapshot() Snapshot {
	return Snapshot{r.records.Load(), r.bytes.Load(), r.errors.Load(), r.latency.Quantile(.5), r.latency.Quantile(.99)}
}

// Latency is a distribution in milliseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Result is what a run measured.
type Result struct {
	Seconds     float64  `json:"seconds"`
	Records     int64    `json:"records"`
	Errors      int64    `json:"errors"`
	PerSecond   float64  `json:"records_per_s"`
	MBPerSecond float64  `json:"mb_per_s"` // of keys and values, 10^6 bytes
	Latency     *Latency `json:"latency_ms,omitempty"`
	Ack         *Latency `json:"ack_ms,omitempty"` // EndToEnd: of the writer
	Consumed    int64    `json:"consumed,omitempty"`
	FirstMs     float64  `json:"first_ms,omitempty"` // Consume: until the first record
}

func (r *Run) result(took time.Duration) (Result, error) {
	s := max(took.Seconds(), 1e-9)
	res := Result{
		Seconds: s, Records: r.records.Load(), Errors: r.errors.Load(),
		PerSecond: float64(r.records.Load()) / s, MBPerSecond: float64(r.bytes.Load()) / s / 1e6,
		Latency: summary(&r.latency), Ack: summary(&r.ackLatency),
	}
	if first := r.firstErr.Load(); first != nil {
		return res, fmt.Errorf("%d records failed, the first with: %w", res.Errors, *first)
	}
	return res, nil
}

func summary(h *histogram.Histogram) *Latency {
	if h.Count() == 0 {
		return nil
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return &Latency{ms(h.Mean()), ms(h.Quantile(.5)), ms(h.Quantile(.9)), ms(h.Quantile(.99)), ms(h.Quantile(.999)), ms(h.Max())}
}

func (r *Run) failed(err error) {
	r.errors.Add(1)
	r.firstErr.CompareAndSwap(nil, &err)
}

// each runs f once for each client, together, and returns their errors.
func (r *Run) each(f func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, r.options.Clients)
	for i := range r.options.Clients {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Produce writes until the time is over or all records are written, and waits for the last acknowledgement.
func (r *Run) Produce(ctx context.Context) (Result, error) {
	from := time.Now().Add(r.options.Warmup)
	err := r.each(func(i int) error {
		cl, err := r.open()
		if err != nil {
			return err
		}
		defer cl.Close()
		return r.write(ctx, cl, i, from, &r.latency, false)
	})
	if err != nil {
		return Result{}, err
	}
	return r.result(time.Since(from))
}

// write is one client's writing. Latencies of records that were due after from go to h. With stamp, values begin with
// the time at which they were due.
func (r *Run) write(ctx context.Context, cl *kgo.Client, client int, from time.Time, h *histogram.Histogram, stamp bool) error {
	o := r.options
	values := payloads(o.Payload, o.RecordBytes, o.Seed)
	rng := rand.New(rand.NewPCG(o.Seed, uint64(client)))
	pace := newPace(time.Now(), o.Rate/float64(o.Clients))
	stop := from.Add(o.Duration)
	limit := o.Records / int64(o.Clients)
	if int64(client) < o.Records%int64(o.Clients) {
		limit++
	}
	for n := int64(0); o.Records == 0 || n < limit; n++ {
		due, ok := pace.await(ctx, n)
		if !ok || due.After(stop) {
			break
		}
		rec := &kgo.Record{Topic: o.Topic, Value: values[n%int64(len(values))]}
		if stamp {
			rec.Value = stamped(rec.Value, due)
		}
		if o.Keys > 0 {
			rec.Key = fmt.Appendf(nil, "key-%d", rng.IntN(o.Keys))
		}
		cl.Produce(ctx, rec, func(rec *kgo.Record, err error) {
			if err != nil {
				r.failed(err)
				return
			}
			if done := time.Now(); !due.Before(from) {
				h.Record(done.Sub(due))
				r.records.Add(1)
				r.bytes.Add(int64(len(rec.Key) + len(rec.Value)))
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("wait for acknowledgements: %w", err)
	}
	return nil
}
