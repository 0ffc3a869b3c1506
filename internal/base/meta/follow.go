package meta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Follower keeps something in step with the keys of some prefixes, whoever changes them: it watches, has everything read, and
// hands over what changes from then on. While the store cannot be reached it waits and begins anew; what it keeps is outdated
// then, and nobody is told. All fields but Logger are required.
type Follower struct {
	Store    Store
	What     string   // what is kept, for the log and the error
	Prefixes []string // none the beginning of another
	// Reload reads everything. Changes that are made while it reads come again by Apply.
	Reload func(context.Context) error
	// Apply takes changes over. Those of one prefix come in the order of revisions; some may be older than what Reload has
	// read. events is good until it returns.
	Apply func(ctx context.Context, events []Event) error
	// Logger is told of times in which the store could not be followed; nil discards.
	Logger *slog.Logger
}

const (
	// followBatch is how many changes are handed over at once, at most.
	followBatch = 1024
	// followPause is the time after which a watch that broke is begun anew.
	followPause = 100 * time.Millisecond
	// followPauseMax is the most that it grows to while the store fails.
	followPauseMax = 2 * time.Second
)

// Run follows until ctx ends, and calls ready once Reload has succeeded for the first time. It fails if the store has failed or
// is closed, and if something in it is corrupt, which Reload and Apply say by ErrCorrupt.
func (f Follower) Run(ctx context.Context, ready func()) error {
	logger := f.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	pause := followPause
	once := sync.OnceFunc(ready)
	for {
		err := f.follow(ctx, func() { pause = followPause; once() })
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // asked to end
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrFailed), errors.Is(err, ErrClosed), errors.Is(err, ErrInvalid):
			return fmt.Errorf("follow %s: %w", f.What, err)
		case err != nil:
			logger.Warn("metadata cannot be followed for now", "what", f.What, "pause", pause, "err", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		if err != nil {
			pause = min(2*pause, followPauseMax)
		}
	}
}

// follow is one life of the watches: nil if one of them broke.
func (f Follower) follow(ctx context.Context, ready func()) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	events, broken := make(chan Event, followBatch), make(chan struct{}, len(f.Prefixes))
	for _, prefix := range f.Prefixes {
		changes, err := f.Store.Watch(ctx, prefix, 0)
		if err != nil {
			return fmt.Errorf("watch %q: %w", prefix, err)
		}
		watching.Go(func() {
			for e := range changes {
				select {
				case events <- e:
				case <-ctx.Done():
					return
				}
			}
			broken <- struct{}{}
		})
	}
	if err := f.Reload(ctx); err != nil { // watch first, then read: nothing falls between
		return err
	}
	ready()
	batch := make([]Event, 0, followBatch)
	for {
		select {
		case <-broken: // too slow, or the end: everything is read anew
			return nil
		case e := <-events:
			batch = append(batch[:0], e)
		}
		for more := true; more && len(batch) < followBatch; {
			select {
			case e := <-events:
				batch = append(batch, e)
			default:
				more = false
			}
		}
		if err := f.Apply(ctx, batch); err != nil {
			return err
		}
	}
}
