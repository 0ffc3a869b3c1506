package load

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPayloadsHaveTheSizeAskedForAndDiffer(t *testing.T) {
	t.Parallel()
	for _, p := range []Payload{Letters, Text, Random} {
		for _, size := range []int{1, 7, 100, 1024} {
			all := payloads(p, size, 1)
			for _, v := range all {
				if len(v) != size {
					t.Fatalf("%s of %d bytes has %d", p, size, len(v))
				}
			}
			if size >= 100 && bytes.Equal(all[0], all[1]) {
				t.Errorf("%s of %d bytes repeats itself", p, size)
			}
			if again := payloads(p, size, 1); !bytes.Equal(again[0], all[0]) {
				t.Errorf("%s of %d bytes changes with an equal seed", p, size)
			}
		}
	}
}

func TestStampSurvivesTheWay(t *testing.T) {
	t.Parallel()
	at := time.Unix(1772625600, 123456789)
	if got, ok := stampOf(stamped([]byte("abcdefghij"), at)); !ok || !got.Equal(at) {
		t.Errorf("got %v, %v", got, ok)
	}
	if got, ok := stampOf(stamped(nil, at)); !ok || !got.Equal(at) {
		t.Errorf("short value: got %v, %v", got, ok)
	}
	if _, ok := stampOf([]byte("short")); ok {
		t.Error("a value without a stamp has one")
	}
}

func TestPaceKeepsItsScheduleWhenTheWriterIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := newPace(start, 100)
		for n := range int64(50) {
			if due, ok := p.await(t.Context(), n); !ok || due.Sub(start) != time.Duration(n)*10*time.Millisecond {
				t.Fatalf("record %d is due after %v", n, due.Sub(start))
			}
		}
		if took := time.Since(start); took != 490*time.Millisecond {
			t.Errorf("50 records took %v", took)
		}
		<-time.After(time.Second) // a stall
		if due, ok := p.await(t.Context(), 60); !ok || due.Sub(start) != 600*time.Millisecond {
			t.Errorf("after a stall record 60 is due at %v", due.Sub(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok := p.await(ctx, 1000000); ok {
			t.Error("await outlives its context")
		}
	})
}
