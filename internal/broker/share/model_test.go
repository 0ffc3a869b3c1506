package share

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// told is what the model knows of a record: what the members were told, and what was acknowledged.
type told struct {
	holder string
	due    time.Time
	count  int16
	done   bool // accepted, rejected, given up, or gone from the log
	wait   bool // a change is on its way
}

// world runs a Partition against a model of it, record by record.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	p       *Partition
	limits  Limits
	now     time.Time
	end     int64 // of the log
	start   int64 // of the log
	records map[int64]*told
	writing *Write
	changes []func(ok bool) // of the write on its way
	open    []func(ok bool) // of the next one
	lowest  int64
	// persisted is what the state store has.
	persisted State
}

// State is a persisted state, as the store merges it.
type State struct {
	start   int64
	batches []Batch
}

func newWorld(t *testing.T, seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	return &world{
		t: t, rng: rng, p: NewPartition(0, nil), now: time.Unix(1000, 0), records: map[int64]*told{},
		limits: Limits{DeliveryCount: int16(2 + rng.IntN(5)), InFlight: int64(5 + rng.IntN(60)), Lock: time.Minute, Renew: true},
	}
}

func (w *world) at(o int64) *told {
	r := w.records[o]
	if r == nil {
		r = &told{}
		w.records[o] = r
	}
	return r
}

func (w *world) member() string { return fmt.Sprintf("m%d", w.rng.IntN(3)) }

func (w *world) acquire() {
	if w.end == w.start {
		return
	}
	offset := w.p.NextFetch()
	if offset >= w.end || !w.p.CanAcquire(w.limits) {
		return
	}
	var batches []Range
	for at := offset - offset%3; at < w.end && len(batches) < 1+w.rng.IntN(8); at += 3 {
		batches = append(batches, Range{at, min(at+2, w.end-1)})
	}
	a := Acquire{
		Member: w.member(), MaxRecords: int64(1 + w.rng.IntN(20)), Exact: w.rng.IntN(2) == 0, BatchSize: int64(1 + w.rng.IntN(5)),
		Offset: offset, Batches: batches, Now: w.now, Limits: w.limits,
	}
	records := int64(0)
	for _, g := range w.p.Acquire(a) {
		for o := g.First; o <= g.Last; o++ {
			r := w.at(o)
			switch {
			case r.holder != "" || r.wait:
				w.t.Fatalf("offset %d was given to %s while %s holds it (a change is on its way: %v)", o, a.Member, r.holder, r.wait)
			case r.done:
				w.t.Fatalf("offset %d was given out after it was done with", o)
			case o >= w.end:
				w.t.Fatalf("offset %d was given out, the log ends at %d", o, w.end)
			case r.count+1 != g.DeliveryCount:
				w.t.Fatalf("offset %d was told as delivery %d, it is the one after %d", o, g.DeliveryCount, r.count)
			case g.DeliveryCount > w.limits.DeliveryCount:
				w.t.Fatalf("offset %d was given out %d times, the limit is %d", o, g.DeliveryCount, w.limits.DeliveryCount)
			}
			r.holder, r.count, r.due = a.Member, g.DeliveryCount, w.now.Add(w.limits.Lock)
			records++
		}
	}
	if a.Exact && records > a.MaxRecords {
		w.t.Fatalf("%d records were given out, %d at most were asked for", records, a.MaxRecords)
	}
	if window, _ := w.p.InFlight(); window > w.limits.InFlight+3 {
		w.t.Fatalf("the window has %d records, the limit is %d", window, w.limits.InFlight)
	}
}

// leave notes a change of a record that comes with the next write.
func (w *world) leave(r *told, done, forced bool) {
	r.wait = true
	if r.count >= w.limits.DeliveryCount {
		done = true
	}
	w.open = append(w.open, func(ok bool) {
		r.wait = false
		if ok || forced {
			r.holder, r.done = "", r.done || done
		}
	})
}

func (w *world) acknowledge() {
	first := w.p.Start() + int64(w.rng.IntN(20)) - 3
	a := Ack{First: max(first, 0), Last: max(first, 0) + int64(w.rng.IntN(6))}
	a.Types = []int8{int8(w.rng.IntN(5))}
	if w.rng.IntN(2) == 0 {
		for range a.Last - a.First {
			a.Types = append(a.Types, int8(w.rng.IntN(5)))
		}
	}
	member := w.member()
	may := a.Last < w.p.Start()
	if !may {
		may = true
		for o := max(a.First, w.p.Start()); o <= a.Last; o++ {
			r := w.at(o)
			may = may && r.holder == member && !r.wait
		}
	}
	err := w.p.Acknowledge(member, []Ack{a}, w.now, w.limits)
	if may != (err == nil) {
		w.t.Fatalf("%s acknowledges [%d, %d]: %v, should be taken: %v", member, a.First, a.Last, err, may)
	}
	if err != nil {
		return
	}
	for o := max(a.First, w.p.Start()); o <= a.Last; o++ {
		r := w.at(o)
		switch a.at(o) {
		case AckRenew:
			r.due = w.now.Add(w.limits.Lock)
		case AckRelease:
			w.leave(r, false, false)
		default:
			w.leave(r, true, false)
		}
	}
}

func (w *world) expire() {
	w.now = w.now.Add(time.Duration(w.rng.IntN(40)) * time.Second)
	w.p.Expire(w.now, w.limits)
	for o := w.p.Start(); o < w.end; o++ {
		if r := w.records[o]; r != nil && r.holder != "" && !r.wait && !r.due.After(w.now) {
			w.leave(r, false, true)
		}
	}
}

func (w *world) release() {
	member := w.member()
	w.p.Release(member, w.limits)
	for o := w.p.Start(); o < w.end; o++ {
		if r := w.records[o]; r != nil && r.holder == member && !r.wait {
			w.leave(r, false, true)
		}
	}
}

func (w *world) write() {
	if w.writing == nil {
		if w.writing = w.p.Take(); w.writing != nil {
			w.changes, w.open = w.open, nil
		}
		return
	}
	ok := w.rng.IntN(4) > 0
	if ok {
		if w.writing.Start < w.persisted.start {
			w.t.Fatalf("a write begins at %d, the one before at %d", w.writing.Start, w.persisted.start)
		}
		w.persisted.start = w.writing.Start
		w.persisted.batches = merge(w.persisted.batches, w.writing.Batches, w.writing.Start)
	}
	w.p.Complete(w.writing, ok)
	for _, change := range w.changes {
		change(ok)
	}
	w.writing, w.changes = nil, nil
}

func (w *world) trim() {
	if w.rng.IntN(10) > 0 {
		return
	}
	w.start = min(w.start+int64(w.rng.IntN(12)), w.end)
	w.p.RaiseStart(w.start)
	for o := range w.records {
		if o < w.start {
			delete(w.records, o)
		}
	}
}

// crash loads the window again from what was persisted, as a restart does: nobody holds anything.
func (w *world) crash() {
	if w.rng.IntN(60) > 0 {
		return
	}
	w.p = NewPartition(max(w.persisted.start, 0), w.persisted.batches)
	w.p.RaiseStart(w.start)
	w.writing, w.changes, w.open = nil, nil, nil
	w.lowest = w.p.Start()
	for o, r := range w.records {
		// What was acknowledged and persisted stays so; the count may be older where only the hand-out was lost.
		r.holder, r.wait = "", false
		for _, s := range w.p.spans {
			if o >= s.first && o <= s.last {
				if r.done && !s.state.done() && slices.ContainsFunc(w.persisted.batches, func(b Batch) bool { return o >= b.First && o <= b.Last && recordState(b.State).done() }) {
					w.t.Fatalf("offset %d was done with and persisted, and is not after a restart", o)
				}
				r.done, r.count = s.state.done(), s.count
			}
		}
		if o >= w.p.end {
			r.done, r.count = false, 0
		}
	}
}

func (w *world) check() {
	if s := w.p.Start(); s < w.lowest {
		w.t.Fatalf("the start went back from %d to %d", w.lowest, s)
	}
	w.lowest = w.p.Start()
	at := w.p.Start()
	for i := range w.p.spans {
		s := &w.p.spans[i]
		if s.first != at || s.last < s.first {
			w.t.Fatalf("span %d is [%d, %d], after %d", i, s.first, s.last, at)
		}
		at = s.last + 1
		for o := s.first; o <= s.last; o++ {
			if r := w.at(o); (s.state == acquired) != (r.holder != "") || s.state == acquired && s.member != r.holder || s.state.done() != r.done {
				w.t.Fatalf("offset %d is in state %d of %q, the model says %+v", o, s.state, s.member, r)
			}
		}
	}
	if at != w.p.end {
		w.t.Fatalf("spans end at %d, the window at %d", at, w.p.end)
	}
	for o := w.start; o < w.p.Start(); o++ {
		if r := w.records[o]; r == nil || !r.done {
			w.t.Fatalf("the start is %d, and offset %d is not done with", w.p.Start(), o)
		}
	}
}

// Each record is delivered until it is accepted, rejected, or was handed out too often; it has one holder at a time; the
// start goes back only where a restart forgets hand-outs that were not persisted, and never over what is done with.
func TestPartitionBehavesAsItsModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		steps := []func(){w.acquire, w.acquire, w.acknowledge, w.acknowledge, w.acknowledge, w.expire, w.release, w.write, w.write, w.write, w.trim, w.crash}
		for range 800 {
			w.end += int64(w.rng.IntN(2))
			if n := w.rng.IntN(len(steps) + 8); n < len(steps) {
				steps[n]()
			} else {
				w.write()
				w.acquire()
			}
			w.check()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		w.drain()
	}
}

// drain accepts whatever there is, until nothing is left: no record may have been lost.
func (w *world) drain() {
	for range 10_000 {
		if w.p.Start() >= w.end {
			return
		}
		w.now = w.now.Add(2 * w.limits.Lock)
		w.expire()
		for w.writing != nil || w.p.Pending() != nil {
			w.write()
		}
		offset := w.p.NextFetch()
		if offset >= w.end {
			continue
		}
		got := w.p.Acquire(Acquire{Member: "last", MaxRecords: 50, Offset: offset, Batches: []Range{{offset, w.end - 1}}, Now: w.now, Limits: w.limits})
		for _, g := range got {
			for o := g.First; o <= g.Last; o++ {
				r := w.at(o)
				r.holder, r.count, r.due = "last", g.DeliveryCount, w.now.Add(w.limits.Lock)
			}
			if err := w.p.Acknowledge("last", []Ack{{g.First, g.Last, []int8{AckAccept}}}, w.now, w.limits); err != nil {
				w.t.Fatal(err)
			}
			for o := g.First; o <= g.Last; o++ {
				w.leave(w.at(o), true, false)
			}
		}
	}
	w.t.Fatalf("the group does not come to the end: start %d, end %d", w.p.Start(), w.end)
}

// A merge of batches says of each record what the strongest batch about it says.
func TestMergeKeepsTheStrongestState(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		random := func() Batch {
			first := int64(rng.IntN(40))
			return Batch{First: first, Last: first + int64(rng.IntN(10)), State: int8(2 * rng.IntN(3)), DeliveryCount: int16(1 + rng.IntN(4))}
		}
		want := map[int64]Batch{}
		var state []Batch
		start := NoOffset
		for range 12 {
			var batches []Batch
			for range rng.IntN(5) {
				b := random()
				batches = append(batches, b)
				for o := b.First; o <= b.Last; o++ {
					if old, ok := want[o]; !ok || beats(b, old) {
						want[o] = b
					}
				}
			}
			if rng.IntN(3) == 0 {
				start = max(start, int64(rng.IntN(30)))
			}
			state = merge(state, batches, start)
		}
		for o := range int64(60) {
			i := slices.IndexFunc(state, func(b Batch) bool { return o >= b.First && o <= b.Last })
			w, ok := want[o]
			ok = ok && o >= start
			if ok != (i >= 0) || ok && (state[i].State != w.State || state[i].DeliveryCount != w.DeliveryCount) {
				t.Fatalf("seed %d, offset %d from %d on: state %v, want %v (%v)", seed, o, start, state, w, ok)
			}
		}
		for i := 1; i < len(state); i++ {
			a, b := state[i-1], state[i]
			if a.Last >= b.First || a.Last+1 == b.First && a.State == b.State && a.DeliveryCount == b.DeliveryCount {
				t.Fatalf("seed %d: batches %v and %v overlap or are one", seed, a, b)
			}
		}
	}
}
