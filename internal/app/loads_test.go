package app

import (
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/placement"
)

func TestLoadOfAShardGoesOnWhereItsOwnerBeforeLeftOff(t *testing.T) {
	t.Parallel()
	known := func(shard int32) placement.Load {
		if shard == 1 {
			return placement.Load{BytesInPerSecond: 600}
		}
		return placement.Load{}
	}
	var m measurement
	now := time.Unix(1000, 0)
	steps := []struct {
		written map[int32]int64
		want    map[int32]float64
	}{
		{map[int32]int64{0: 0, 1: 0}, map[int32]float64{0: 0, 1: 600}},          // what has just come
		{map[int32]int64{0: 1200, 1: 6000}, map[int32]float64{0: 20, 1: 600}},   // a sixth of a minute later
		{map[int32]int64{0: 2400, 1: 6000}, map[int32]float64{0: 36.7, 1: 500}}, // shard 1 is idle
		{map[int32]int64{0: 3600}, map[int32]float64{0: 50.6}},                  // and goes
		{map[int32]int64{0: 3600, 1: 50}, map[int32]float64{0: 42.1, 1: 600}},   // and comes back
		{map[int32]int64{0: 3600, 1: 10}, map[int32]float64{0: 35.1, 1: 600}},   // and once more, unseen
	}
	for i, s := range steps {
		got := m.next(now, s.written, known)
		now = now.Add(10 * time.Second)
		if len(got) != len(s.want) {
			t.Errorf("step %d: %v, want %v", i, got, s.want)
		}
		for id, want := range s.want {
			if d := got[id].BytesInPerSecond - want; d > 0.1 || d < -0.1 {
				t.Errorf("step %d: shard %d makes %.1f B/s, want %.1f", i, id, got[id].BytesInPerSecond, want)
			}
		}
	}
}

func TestBudgetOfPutsIsARateOrMoney(t *testing.T) {
	t.Parallel()
	schema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set  []string
		want float64
	}{
		{nil, 0},
		{[]string{"storage.flush.puts.per.second=4"}, 4},
		{[]string{"storage.flush.budget.per.month=52.56"}, 4}, // as many as 4 a second are in a month of 730 hours, at 0.005 for 1000
		{[]string{"storage.flush.budget.per.month=52.56", "storage.put.price=0.01"}, 2},
		{[]string{"storage.flush.budget.per.month=52.56", "storage.flush.puts.per.second=3"}, 3},
		{[]string{"storage.flush.budget.per.month=26.28", "storage.flush.puts.per.second=3"}, 2},
		{[]string{"storage.flush.budget.per.month=26.28", "storage.put.price=0"}, 0},
	} {
		v, err := schema.Load(config.Sources{Set: c.set})
		if err != nil {
			t.Fatal(err)
		}
		if got := flushRate(v); got < c.want*0.999 || got > c.want*1.001 {
			t.Errorf("%v: %g PUTs a second, want %g", c.set, got, c.want)
		}
	}
}
