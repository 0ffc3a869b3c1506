package wal

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// What makes room must find room: a log that refuses batches still takes controls.
func TestLogWithoutSpaceTakesControls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemDir(t)
		l := New(Options{FS: m, Dir: testDir, Incarnation: 1, FileBytes: 256 << 10, MaxBytes: 256 << 10})
		ctx, cancel := context.WithCancel(t.Context())
		done, ready := make(chan error, 1), make(chan struct{})
		go func() { done <- l.Run(ctx, func() { close(ready) }) }()
		<-ready
		s := NewStream(0, [16]byte{1}, 0)
		for offset := int64(0); ; offset++ {
			ticket, err := l.Append(s, make([]byte, 5000), BatchInfo{BaseOffset: offset, RecordCount: 1})
			if errors.Is(err, ErrNoSpace) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := ticket.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			ticket, err := l.AppendControl(Control{Kind: ControlDeleteRecords, Topic: [16]byte{1}, Value: int64(i)})
			if err != nil {
				t.Fatalf("control %d: %v", i, err)
			}
			if err := ticket.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A disk with less room than the log would like to prepare is used all the same, but for what belongs to others.
func TestLogUsesWhatASmallDiskHasAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const leave, batch = 6 << 20, 500_000
		m := newMemDir(t)
		m.SetFreeBytes(20 << 20)
		l := New(Options{FS: m, Dir: testDir, Incarnation: 1, FileBytes: 32 << 20, LeaveBytes: leave})
		ctx, cancel := context.WithCancel(t.Context())
		done, ready := make(chan error, 1), make(chan struct{})
		go func() { done <- l.Run(ctx, func() { close(ready) }) }()
		<-ready
		s := NewStream(0, [16]byte{1}, 0)
		taken := 0
		for ; taken < 100; taken++ {
			if err := l.Admit(ctx, batch); errors.Is(err, ErrNoSpace) {
				break
			}
			ticket, err := l.Append(s, make([]byte, batch), BatchInfo{BaseOffset: int64(taken), RecordCount: 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := ticket.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		usage, err := m.Usage(testDir)
		if taken*batch < 8<<20 || taken == 100 || err != nil || usage.FreeBytes < leave {
			t.Errorf("%d bytes were taken of a disk of 20 MiB, and %d are left, %v; want at least 8 MiB, and %d", taken*batch, usage.FreeBytes, err, leave)
		}
		if !l.NoSpace() {
			t.Error("the log says that it can grow")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
