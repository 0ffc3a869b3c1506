package power

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// outcome of a transaction, as its client knows it.
type outcome int

const (
	unknown outcome = iota
	committed
	aborted
)

// txn is a transaction of a worker; they have numbers from 1.
type txn struct {
	worker  string
	n       int
	records int
	end     outcome
}

// place is where a record lies.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// item is a record as the ledger knows it: of a worker, its n-th, and where that has several, the i-th.
type item struct {
	worker string
	n, i   int
}

func (v item) String() string { return fmt.Sprintf("%s.%d.%d", v.worker, v.n, v.i) }

// parseItem reads what String writes; more may follow after a blank.
func parseItem(s string) (v item, err error) {
	s, _, _ = strings.Cut(s, " ")
	f := strings.Split(s, ".")
	if len(f) != 3 {
		return v, fmt.Errorf("value %q is none of ours", s)
	}
	v.worker = f[0]
	if v.n, err = strconv.Atoi(f[1]); err == nil {
		v.i, err = strconv.Atoi(f[2])
	}
	return v, err
}

// number is how far something is that only grows: what was told to be done, and what was asked for last.
type number struct{ told, asked int64 }

// ledger is what clients asked for and were told. Its methods may be called from any goroutine.
type ledger struct {
	mu     sync.Mutex
	frozen bool // the power is gone: from now on nothing counts as told
	txns   map[string][]*txn
	plain  map[item]bool      // asked for; true: acknowledged
	keys   map[string]*number // versions in the compacted topic
	groups map[string]*number // committed offsets
	sent   map[string]*number // of plain producers
	member member
	seen   map[place]item // of the topics that are not compacted
}

// member is a member of a group, as its last good answer says.
type member struct {
	id    string
	epoch int32
	asked int64
}

func newLedger() *ledger {
	return &ledger{txns: map[string][]*txn{}, plain: map[item]bool{}, keys: map[string]*number{}, groups: map[string]*number{}, sent: map[string]*number{}, seen: map[place]item{}}
}

// freeze is called when the power goes, before the disks are looked at: what is told from here on may be lost.
func (l *ledger) freeze() { l.with(func() { l.frozen = true }) }

func (l *ledger) thaw() { l.with(func() { l.frozen = false }) }

func (l *ledger) with(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

// begin returns the next transaction of a worker.
func (l *ledger) begin(worker string, records int) *txn {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &txn{worker: worker, n: len(l.txns[worker]) + 1, records: records}
	l.txns[worker] = append(l.txns[worker], t)
	return t
}

// told does what notes an answer, unless it may have come too late to count.
func (l *ledger) told(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.frozen {
		do()
	}
}

// next counts what is asked for on.
func (l *ledger) next(of map[string]*number, name string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of[name] == nil {
		of[name] = &number{}
	}
	of[name].asked++
	return of[name].asked
}

// count returns how many transactions came to an end, how many records and how many offsets were acknowledged.
func (l *ledger) count() (ends map[outcome]int, records, offsets int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends = map[outcome]int{}
	for _, ts := range l.txns {
		for _, t := range ts {
			ends[t.end]++
		}
	}
	for _, acked := range l.plain {
		if acked {
			records++
		}
	}
	for _, n := range l.groups {
		offsets += n.told
	}
	return ends, records, offsets
}

// view is what a reader with read_committed finds after a restart.
type view struct {
	items   map[place]item
	keys    map[string]int64 // the last version of each key
	offsets map[string]int64 // of groups
}

// check compares a view with what was told, and notes what nobody knew until now. It returns what is wrong.
func (l *ledger) check(v view) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wrong []string
	blame := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for p, want := range l.seen {
		if got, ok := v.items[p]; !ok || got != want {
			blame("%v held %v and holds %v", p, want, got)
		}
	}
	there := map[item]int{}
	places := slices.SortedFunc(maps.Keys(v.items), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	last := map[string]int{}
	for _, p := range places {
		it := v.items[p]
		if there[it]++; there[it] > 1 {
			blame("%v is there twice, the second time at %v", it, p)
		}
		line := fmt.Sprint(p.topic, p.partition, it.worker)
		if it.n < last[line] {
			blame("%v at %v comes after number %d", it, p, last[line])
		}
		last[line] = it.n
	}
	l.checkPlain(there, blame)
	for worker, ts := range l.txns {
		newest := int64(-1)
		for _, t := range ts {
			if t.check(there, blame) {
				newest = int64(t.n)
			}
		}
		if got, ok := v.offsets[worker]; newest >= 0 && got != newest || newest < 0 && ok {
			blame("%s has committed offset %d, and records up to transaction %d", worker, got, newest)
		}
		if got := v.keys[worker]; got != max(newest, 0) {
			blame("%s has version %d in the compacted topic, and records up to transaction %d", worker, got, newest)
		}
	}
	for name, n := range l.keys {
		n.check("version of "+name, v.keys[name], blame)
	}
	for name, n := range l.groups {
		n.check("offset of "+name, v.offsets[name], blame)
	}
	l.seen = v.items
	return wrong
}

func (l *ledger) checkPlain(there map[item]int, blame func(string, ...any)) {
	for it, acked := range l.plain {
		if acked && there[it] == 0 {
			blame("%v was acknowledged and is not there", it)
		}
		if there[it] == 0 {
			delete(l.plain, it) // nobody sends it any more: it must not come up later
		}
	}
	for it := range there {
		if _, asked := l.plain[it]; !asked && l.txns[it.worker] == nil {
			blame("%v is there and was never sent, or had been lost", it)
		}
	}
}

// check tells whether a transaction is there, and fixes what became of one that nobody knew of.
func (t *txn) check(there map[item]int, blame func(string, ...any)) bool {
	n := 0
	for i := range t.records {
		n += there[item{t.worker, t.n, i}]
	}
	if n > 0 && n < t.records {
		blame("of transaction %d of %s %d of %d records are there", t.n, t.worker, n, t.records)
	}
	switch {
	case t.end == committed && n == 0:
		blame("transaction %d of %s was committed and is not there", t.n, t.worker)
	case t.end == aborted && n > 0:
		blame("transaction %d of %s was aborted and is there", t.n, t.worker)
	case t.end == unknown && n > 0:
		t.end = committed
	case t.end == unknown:
		t.end = aborted
	}
	return n > 0
}

// check tells of a number that went back or too far. What is there now stays.
func (n *number) check(what string, got int64, blame func(string, ...any)) {
	if got < n.told || got > n.asked {
		blame("%s is %d, not in [%d, %d]", what, got, n.told, n.asked)
	}
	n.told, n.asked = got, max(n.asked, got)
}
