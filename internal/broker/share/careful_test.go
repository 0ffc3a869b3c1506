package share

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestRecordsThatFailOftenComeInEverSmallerParts gives everything back that was handed out. The parts are halves, quarters
// and so on of what was handed out first, however much of that is left: the order is that of Kafka.
func TestRecordsThatFailOftenComeInEverSmallerParts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		records int64
		limit   int16
		want    []string
	}{
		{8, 2, []string{"0-7/1", "0-7/2"}},
		{8, 5, []string{
			"0-7/1", "0-7/2", "0-7/3", "0-3/4", "0-0/5", "1-1/5", "2-2/5", "3-3/5", "4-7/4", "4-4/5", "5-5/5", "6-6/5", "7-7/5",
		}},
		{16, 7, []string{
			"0-15/1", "0-15/2", "0-15/3", "0-15/4", "0-7/5", "0-3/6", "0-0/7", "1-1/7", "2-2/7", "3-3/7", "4-7/6", "4-4/7", "5-5/7",
			"6-6/7", "7-7/7", "8-15/5", "8-11/6", "8-8/7", "9-9/7", "10-10/7", "11-11/7", "12-15/6", "12-12/7", "13-13/7", "14-14/7", "15-15/7",
		}},
	} {
		t.Run(fmt.Sprintf("limit=%d", c.limit), func(t *testing.T) {
			t.Parallel()
			l := Limits{DeliveryCount: c.limit, InFlight: 100, Lock: time.Minute}
			p := NewPartition(0, nil)
			var got []string
			for p.Start() < c.records && len(got) < 100 {
				for _, a := range p.Acquire(Acquire{
					Member: "m", MaxRecords: 100, BatchSize: 100, Offset: p.NextFetch(), Batches: []Range{{0, c.records - 1}}, Now: time.Unix(0, 0), Limits: l,
				}) {
					got = append(got, fmt.Sprintf("%d-%d/%d", a.First, a.Last, a.DeliveryCount))
				}
				p.Release("m", l)
				p.Complete(p.Take(), true)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("handed out\n%q, want\n%q", got, c.want)
			}
		})
	}
}

// When it becomes known that a record is done with, before or after the log's start has come to it, is a matter of time. The start is not.
func TestARaisedStartPassesWhatIsDoneWith(t *testing.T) {
	t.Parallel()
	p := NewPartition(8, []Batch{{First: 8, Last: 9}, {First: 10, Last: 10, State: int8(acknowledged)}, {First: 11, Last: 12}})
	p.RaiseStart(10)
	if got := p.Start(); got != 11 {
		t.Errorf("the start is %d, want 11", got)
	}
}
