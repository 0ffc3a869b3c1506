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
