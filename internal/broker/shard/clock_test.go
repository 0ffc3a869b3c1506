package shard

import (
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/broker/wal"
)

// What was written after a clock was set back is uploaded in time all the same.
func TestEndOfTheLogIsMarkedThoughTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	var marks tier
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	marks.note(100, noon)
	marks.note(200, noon.Add(time.Millisecond))
	marks.note(300, noon.Add(-time.Hour))
	marks.note(400, noon.Add(-time.Hour+markEvery))
	var got []wal.Position
	for _, m := range marks.marks {
		got = append(got, m.pos)
	}
	if len(got) != 3 || got[1] != 300 || got[2] != 400 {
		t.Errorf("marks at %v, want 100, 300, 400", got)
	}
}
