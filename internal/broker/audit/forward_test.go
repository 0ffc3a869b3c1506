package audit

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pair is two brokers on one topic, of which one has the partition at a time.
type pair struct {
	memory
	owner atomic.Int32
	logs  [2]*Log
}

// place is the topic as one of the brokers sees it.
type place struct {
	*pair
	self  int32
	fresh bool // Last was read since the partition came
}

var errElsewhere = errors.New("another broker has the partition")

func (p *place) Last(ctx context.Context) ([]byte, error) {
	if p.owner.Load() != p.self {
		return nil, errElsewhere
	}
	p.fresh = true
	return p.memory.Last(ctx)
}

func (p *place) Append(ctx context.Context, values [][]byte) error {
	if p.owner.Load() != p.self {
		p.fresh = false
		return errElsewhere
	}
	if !p.fresh {
		return ErrMoved
	}
	return p.memory.Append(ctx, values)
}

func TestOneChainHoldsTheEventsOfAllBrokers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pair{}
		for i := range p.logs {
			self := int32(i)
			at := &place{pair: p, self: self}
			l := newLog(&p.memory, 100, Management)
			l.o.Topic, l.o.Source = at, []string{"weir://c/broker/0", "weir://c/broker/1"}[i]
			l.o.Forward = func(ctx context.Context, values [][]byte) (bool, error) {
				if p.owner.Load() == self {
					return false, nil
				}
				at.fresh = false
				return true, p.logs[1-self].Accept(ctx, values)
			}
			p.logs[i] = l
		}
		ctx, stop := context.WithCancel(t.Context())
		for _, l := range p.logs {
			go func() { _ = l.Run(ctx, func() {}) }() // ends without an error
		}
		for round := range int32(6) {
			p.owner.Store(round / 2 % 2)
			for _, l := range p.logs {
				l.put(l.lostEvent(int64(round)))
			}
			<-time.After(time.Minute) // of the bubble: until all that is tried again has been
		}
		stop()
		synctest.Wait()
		sources := map[string]int{}
		for _, e := range p.events(t) {
			sources[e.Source]++
		}
		if sources["weir://c/broker/0"] != 6 || sources["weir://c/broker/1"] != 6 {
			t.Errorf("events by broker are %v, want 6 of each", sources)
		}
		if err := p.logs[0].Accept(t.Context(), nil); !errors.Is(err, errEnded) {
			t.Errorf("a log that has ended accepts: %v", err)
		}
	})
}

func TestAcceptRefusesWhatIsNoEventAndTooManyOfThem(t *testing.T) {
	t.Parallel()
	l := newLog(&memory{}, 1, Management)
	for name, values := range map[string][][]byte{"no event": {[]byte("{")}, "too many": make([][]byte, EventsPerWrite+2)} {
		if err := l.Accept(t.Context(), values); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	var none *Log
	if err := none.Accept(t.Context(), nil); !errors.Is(err, errNone) {
		t.Errorf("without an audit log: %v", err)
	}
}
