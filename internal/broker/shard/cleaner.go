package shard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

// CleanerOptions are the settings of log compaction, asked for at each look. See Options.Cleaner.
type CleanerOptions struct {
	// Disabled stops compaction (log.cleaner.enable).
	Disabled bool
	// Backoff is the time between looks when there is nothing to clean, 0 for 15 s (log.cleaner.backoff.ms).
	Backoff time.Duration
	// MapBytes bounds the memory for the keys of a cleaning, 0 for 128 MiB (log.cleaner.dedupe.buffer.size), and MapFullness
	// is the part of it that may be used, 0 for 0.9 (log.cleaner.io.buffer.load.factor).
	MapBytes    int64
	MapFullness float64
	// BytesPerSecond bounds what is read and written together, 0 for no bound (log.cleaner.io.max.bytes.per.second).
	BytesPerSecond float64
}

func (o CleanerOptions) withDefaults() CleanerOptions {
	if o.Backoff <= 0 {
		o.Backoff = 15 * time.Second
	}
	if o.MapBytes <= 0 {
		o.MapBytes = 128 << 20
	}
	if o.MapFullness <= 0 || o.MapFullness > 1 {
		o.MapFullness = 0.9
	}
	return o
}

// cleaner compacts the logs that ask for it, one after another, the dirtiest first. Its state belongs to one goroutine: that of
// runCleaner, or a test's.
type cleaner struct {
	s *Store
	// uncleanable are the logs that could not be cleaned, with their log start as it was then. They are tried again when
	// that has moved, or by the next process.
	uncleanable map[logKey]int64
}

func (s *Store) newCleaner() *cleaner {
	return &cleaner{s: s, uncleanable: map[logKey]int64{}}
}

func (s *Store) cleanerOptions() CleanerOptions {
	if s.o.Cleaner == nil {
		return CleanerOptions{}.withDefaults()
	}
	return s.o.Cleaner().withDefaults()
}

// runCleaner cleans until ctx ends. Lack of space is waited out; another failure to write ends the process, like any
// failure of storage. A log that cannot be read is left as it is and reported.
func (s *Store) runCleaner(ctx context.Context) error {
	c := s.newCleaner()
	for {
		o := s.cleanerOptions()
		cleaned := false
		if !o.Disabled {
			var err error
			if cleaned, err = c.cleanOne(ctx, o); ctx.Err() == nil && err != nil && !noSpace(err) {
				if s.o.Cluster == nil && !waitable(err) {
					return fmt.Errorf("clean logs: %w", err)
				}
				s.o.Logger.Warn("compaction failed, it is tried again", "err", err)
			} else if err != nil && ctx.Err() == nil {
				s.o.Logger.Warn("no space for compaction; it goes on when there is", "err", err)
			}
		}
		if cleaned {
			continue
		}
		wait := time.NewTimer(o.Backoff)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
	}
}

// cleanOne cleans the dirtiest log that is due, and reports whether there was one.
func (c *cleaner) cleanOne(ctx context.Context, o CleanerOptions) (bool, error) {
	l, plan := c.dirtiest()
	if l == nil {
		return false, nil
	}
	started := c.s.o.Now()
	stats, err := c.s.clean(ctx, l, plan, o)
	switch {
	case ctx.Err() != nil:
		return false, nil //nolint:nilerr // the end was asked for
	case errors.Is(err, errMoved), errors.Is(err, partition.ErrClosed), errors.Is(err, kafka.OffsetOutOfRange):
		// A cut, a merge, retention or a deletion has come in between: the next look sees how things are then.
		return false, nil
	case err == nil:
		c.s.metrics.cleaner.cleaned(c.s.o.Now().Sub(started), stats)
		return true, nil
	}
	if u, ok := errors.AsType[*uncleanableError](err); ok {
		id := l.Identity()
		c.uncleanable[logKey{id.Topic, id.Partition}] = plan.Start
		c.s.corrupt(fmt.Errorf("%s is not compacted any more: %w", id, u.err))
		return true, nil
	}
	return false, err
}

// dirtiest picks the log to clean next, as Kafka does: one with something older than max.compaction.lag.ms, or whose dirty part
// is above min.cleanable.dirty.ratio; of several the dirtiest. It returns nil if none is due.
func (c *cleaner) dirtiest() (best *partition.Log, plan partition.Cleanable) {
	now := c.s.o.Now()
	look := cleanerLook{at: now}
	seen := map[logKey]bool{}
	c.s.Logs(func(l *partition.Log) {
		config := l.Config()
		if !config.Compact {
			return
		}
		p := l.Cleanable(now.UnixMilli())
		id := l.Identity()
		key := logKey{id.Topic, id.Partition}
		if start, bad := c.uncleanable[key]; bad && start == p.Start {
			seen[key] = true
			look.uncleanable++
			look.uncleanableBytes += p.DirtyBytes + p.UncleanableBytes
			return
		}
		look.ratio, look.overdue = max(look.ratio, p.Ratio()), max(look.overdue, time.Duration(p.OverdueMs)*time.Millisecond)
		if p.DirtyBytes == 0 || p.OverdueMs == 0 && p.Ratio() <= config.MinDirtyRatio {
			return
		}
		if best == nil || p.Ratio() > plan.Ratio() {
			best, plan = l, p
		}
	})
	for key := range c.uncleanable {
		if !seen[key] {
			delete(c.uncleanable, key)
		}
	}
	c.s.metrics.cleaner.looked(look)
	return best, plan
}

// uncleanableError says that a log does not give the bytes that were written to it.
type uncleanableError struct{ err error }

func (e *uncleanableError) Error() string { return e.err.Error() }
func (e *uncleanableError) Unwrap() error { return e.err }

// asUncleanable marks an error of reading a log, unless it tells that the log itself has gone or moved on.
func asUncleanable(ctx context.Context, err error) error {
	passing := errors.Is(err, partition.ErrClosed) || errors.Is(err, kafka.OffsetOutOfRange) || errors.Is(err, wal.ErrClosed) || errors.Is(err, blob.ErrAway)
	if err == nil || passing || ctx.Err() != nil {
		return err
	}
	return &uncleanableError{err}
}
