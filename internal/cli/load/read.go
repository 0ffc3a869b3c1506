package load

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// drain is how long EndToEnd waits for records that were acknowledged but not read yet.
const drain = 30 * time.Second

// Consume reads what the topic holds, from start to the end at the time of the call, or until the time is over. The
// partitions are divided among the clients; there is no group.
func (r *Run) Consume(ctx context.Context) (Result, error) {
	parts, want, err := r.held(ctx)
	if err != nil {
		return Result{}, err
	}
	if want == 0 {
		return Result{}, fmt.Errorf("topic %q is empty: there is nothing to read", r.options.Topic)
	}
	if r.options.Records > 0 {
		want = min(want, r.options.Records)
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.Duration)
	defer cancel()
	start := time.Now()
	var first atomic.Int64
	err = r.each(func(i int) error {
		mine := map[int32]kgo.Offset{}
		for n, p := range parts {
			if n%r.options.Clients == i {
				mine[p.Partition] = kgo.NewOffset().At(p.Offset)
			}
		}
		if len(mine) == 0 {
			return nil
		}
		cl, err := r.open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.options.Topic: mine}), kgo.FetchMaxBytes(50<<20), kgo.FetchMaxPartitionBytes(1<<20))
		if err != nil {
			return err
		}
		defer cl.Close()
		return r.read(ctx, cl, want, cancel, func() { first.CompareAndSwap(0, int64(time.Since(start))) })
	})
	if err != nil {
		return Result{}, err
	}
	res, err := r.result(time.Since(start))
	res.FirstMs = float64(first.Load()) / 1e6
	return res, err
}

// held returns the start offsets of the partitions that hold something, and how many offsets they hold.
func (r *Run) held(ctx context.Context) ([]kadm.ListedOffset, int64, error) {
	cl, err := r.open()
	if err != nil {
		return nil, 0, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, r.options.Topic)
	if err != nil {
		return nil, 0, fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, r.options.Topic)
	if err != nil {
		return nil, 0, fmt.Errorf("list end offsets: %w", err)
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return nil, 0, fmt.Errorf("offsets of %s: %w", r.options.Topic, err)
	}
	var parts []kadm.ListedOffset
	var want int64
	for p, start := range starts[r.options.Topic] {
		if n := ends[r.options.Topic][p].Offset - start.Offset; n > 0 {
			parts = append(parts, start)
			want += n
		}
	}
	return parts, want, nil
}

func (r *Run) read(ctx context.Context, cl *kgo.Client, want int64, enough func(), seen func()) error {
	for r.records.Load() < want {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // by time, by another reader's success, or by the user
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		var n, bytes int64
		for rec := range fetches.RecordsAll() {
			n++
			bytes += int64(len(rec.Key) + len(rec.Value))
		}
		if n > 0 {
			seen()
		}
		r.bytes.Add(bytes)
		if r.records.Add(n) >= want {
			enough()
		}
	}
	return nil
}

// EndToEnd writes at the rate and reads at the same time. Latency is from the time at which a record was due to the
// time at which the reader has it.
func (r *Run) EndToEnd(ctx context.Context) (Result, error) {
	if r.options.Rate == 0 {
		r.options.Rate = 1000
	}
	r.options.RecordBytes = max(r.options.RecordBytes, stampBytes)
	reader, err := r.openAtEnd(ctx)
	if err != nil {
		return Result{}, err
	}
	defer reader.Close()
	from := time.Now().Add(r.options.Warmup)
	readCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var got atomic.Int64
	arrived := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() { done <- r.receive(readCtx, reader, from, &got, arrived) }()
	err = r.each(func(i int) error {
		cl, err := r.open()
		if err != nil {
			return err
		}
		defer cl.Close()
		return r.write(ctx, cl, i, from, &r.ackLatency, true)
	})
	took := time.Since(from)
	late := time.NewTimer(drain)
	defer late.Stop()
	for waiting := err == nil; waiting && got.Load() < r.records.Load(); {
		select {
		case <-arrived:
		case <-late.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	cancel()
	if err = errors.Join(err, <-done); err != nil {
		return Result{}, err
	}
	res, err := r.result(took)
	res.Consumed = got.Load()
	if err == nil && res.Consumed < res.Records {
		err = fmt.Errorf("%d of %d records were not read within %s", res.Records-res.Consumed, res.Records, drain)
	}
	return res, err
}

// openAtEnd returns a client that reads from the present end of the topic on.
func (r *Run) openAtEnd(ctx context.Context) (*kgo.Client, error) {
	cl, err := r.open()
	if err != nil {
		return nil, err
	}
	ends, err := r.ends(ctx, kadm.NewClient(cl))
	cl.Close()
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	at := map[int32]kgo.Offset{}
	for p, end := range ends[r.options.Topic] {
		at[p] = kgo.NewOffset().At(end.Offset)
	}
	return r.open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.options.Topic: at}))
}

// leaderWait is how long a topic that was just made, in a cluster that has just begun, may be without leaders.
const leaderWait = 10 * time.Second

// ends lists the end offsets of the topic, once all of its partitions have leaders.
func (r *Run) ends(ctx context.Context, adm *kadm.Client) (kadm.ListedOffsets, error) {
	for began := time.Now(); ; {
		ends, err := adm.ListEndOffsets(ctx, r.options.Topic)
		if err == nil {
			err = ends.Error()
		}
		if !errors.Is(err, kerr.LeaderNotAvailable) || time.Since(began) > leaderWait {
			return ends, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *Run) receive(ctx context.Context, cl *kgo.Client, from time.Time, got *atomic.Int64, arrived chan<- struct{}) error {
	for {
		fetches := cl.PollFetches(ctx)
		now := time.Now()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end was asked for
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		for rec := range fetches.RecordsAll() {
			due, ok := stampOf(rec.Value)
			if ok && !due.Before(from) {
				r.latency.Record(now.Sub(due))
				got.Add(1)
			}
		}
		select {
		case arrived <- struct{}{}:
		default:
		}
	}
}
