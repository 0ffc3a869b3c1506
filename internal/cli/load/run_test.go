package load

import (
	"testing"
	"time"
)

func TestResultComesFromWhatCounted(t *testing.T) {
	t.Parallel()
	r := New(Options{Topic: "t"}, nil)
	for range 1000 {
		r.records.Add(1)
		r.bytes.Add(1000)
		r.latency.Record(2 * time.Millisecond)
	}
	res, err := r.result(2 * time.Second)
	if err != nil || res.PerSecond != 500 || res.MBPerSecond != .5 || res.Latency.P99 != 2 || res.Ack != nil {
		t.Errorf("got %+v, %v", res, err)
	}
	if s := r.Snapshot(); s.Records != 1000 || s.P50 != 2*time.Millisecond {
		t.Errorf("snapshot %+v", s)
	}
}
