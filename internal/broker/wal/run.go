package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
)

// errNoSpaceSystem is what the operating system says of a full disk.
const errNoSpaceSystem = syscall.ENOSPC

// Run opens the log, calls ready once when appends are taken, and writes until ctx has ended and all that was
// appended is durable. An error is fatal: it wraps ErrFailed after a failed write or sync, and the process must recover from Scan. Files that
// are pinned when Run returns stay open until they are released.
func (l *Log) Run(ctx context.Context, ready func()) error {
	if err := l.o.validate(); err != nil {
		return err
	}
	l.mu.Lock()
	again := l.state != stateNew
	l.mu.Unlock()
	if again {
		return errors.New("wal: Run called twice")
	}
	defer l.shutDown()
	if err := l.prep.open(); err != nil {
		return l.fail(fmt.Errorf("open the write-ahead log: %w", err))
	}
	if err := l.prep.extend(); err != nil && !isFull(err) {
		return l.fail(fmt.Errorf("open the write-ahead log: %w", err))
	}
	l.enter(stateRunning)
	ready()
	stop := context.AfterFunc(ctx, func() { l.enter(stateDraining) })
	defer stop()

	prepCtx, stopPreparer := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPreparer()
	var preparer, writers sync.WaitGroup
	preparer.Go(func() {
		if err := l.prep.run(prepCtx); err != nil {
			l.fail(err) //nolint:errcheck // returned below
		}
	})
	for range lanes {
		writers.Go(l.lane)
	}
	writers.Wait()
	stopPreparer()
	preparer.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// enter moves the state forward.
func (l *Log) enter(s state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state < s {
		l.state = s
	}
	if s != stateRunning {
		l.admit()
	}
	l.work.Broadcast()
}

// shutDown closes what nobody reads. All goroutines of Run have ended.
func (l *Log) shutDown() {
	l.enter(stateEnded)
	l.mu.Lock()
	l.closedDown = true
	if l.markTimer != nil {
		l.markTimer.Stop()
	}
	var idle []*file
	for _, f := range slices.Concat(l.files, l.prep.trimmed, l.prep.spares) {
		if f.pins == 0 {
			idle = append(idle, f)
		}
	}
	l.mu.Unlock()
	for _, f := range idle {
		f.f.Close() //nolint:errcheck // nothing unsynced is of use any more
	}
}
