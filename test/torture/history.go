package torture

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Outcome is what the client of a transaction was told.
type Outcome int

// Outcomes. Unknown is the zero value: a request without an answer, and every error that does not say that nothing
// happened.
const (
	Unknown Outcome = iota
	Committed
	Aborted
)

// Record is a record of a transaction: the value that it carries, and the transaction with the number of its records.
type Record struct {
	Value string
	Txn   string
	Of    int
}

// Encode returns the record's value on the wire.
func (r Record) Encode() []byte { return fmt.Appendf(nil, "%s|%s|%d", r.Value, r.Txn, r.Of) }

// Decode reads what Encode writes. Records of no transaction have a value alone.
func Decode(b []byte) (Record, error) {
	value, rest, ok := strings.Cut(string(b), "|")
	if !ok {
		return Record{Value: value}, nil
	}
	txn, of, _ := strings.Cut(rest, "|")
	n, err := strconv.Atoi(of)
	if err != nil {
		return Record{}, fmt.Errorf("value %q: %w", b, err)
	}
	return Record{Value: value, Txn: txn, Of: n}, nil
}

// Place is where a record lies.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

// History is what clients were told and saw. Its methods may be called from any goroutine.
type History struct {
	mu       sync.Mutex
	acked    map[string]bool             // values that were acknowledged in the first topic
	outcomes map[string]Outcome          // of transactions, by name
	written  map[string]map[string]int   // records of committed transactions, by topic and name
	live     map[Place]string            // what live readers saw
	final    map[string]map[Place]string // what was there at the end, by topic
	taken    []taken                     // by transactions, in the order of their beginnings
	failed   map[string][]string         // transactions by why they could not write
	broken   []string
}

// taken is what a transaction took from a partition: the records from a place to an offset.
type taken struct {
	txn  string
	from Place
	to   int64
	at   time.Time
}

// NewHistory returns an empty history.
func NewHistory() *History {
	return &History{
		acked: map[string]bool{}, outcomes: map[string]Outcome{}, written: map[string]map[string]int{}, live: map[Place]string{},
		final: map[string]map[Place]string{}, failed: map[string][]string{},
	}
}

// Acked notes that a value was acknowledged in the first topic.
func (h *History) Acked(value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked[value] = true
}

// Took notes that a transaction moves the records from a place to an offset.
func (h *History) Took(txn string, from Place, to int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken = append(h.taken, taken{txn, from, to, time.Now()})
}

// Failed notes why a transaction could not write what it wanted to.
func (h *History) Failed(txn string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed[err.Error()] = append(h.failed[err.Error()], fmt.Sprintf("%s at %s", txn, time.Now().Format("15:04:05.000")))
}

// Failures returns why transactions failed, a line for each reason.
func (h *History) Failures() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(h.failed)) {
		out = append(out, fmt.Sprintf("%d transactions could not write: %s: %s", len(h.failed[reason]), reason, strings.Join(h.failed[reason], ", ")))
	}
	return out
}

// Ended notes the outcome of a transaction that wrote so many records to a topic.
func (h *History) Ended(txn, topic string, records int, o Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outcomes[txn] = o
	if o == Committed {
		if h.written[topic] == nil {
			h.written[topic] = map[string]int{}
		}
		h.written[topic][txn] = records
	}
}

// Live notes what a live reader with read_committed saw.
func (h *History) Live(p Place, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.live[p]; ok && old != value {
		h.broken = append(h.broken, fmt.Sprintf("%v was seen as %q and as %q", p, old, value))
	}
	h.live[p] = value
}

// Final notes what a topic holds at the end, as a reader with read_committed sees it.
func (h *History) Final(topic string, records map[Place]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.final[topic] = records
}

// Broke notes something that is wrong by itself, such as a zombie whose commit succeeded.
func (h *History) Broke(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = append(h.broken, fmt.Sprintf(format, args...))
}

// Count returns how many transactions came to an outcome.
func (h *History) Count(o Outcome) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, x := range h.outcomes {
		if x == o {
			n++
		}
	}
	return n
}

// AckedCount returns how many values were acknowledged in the first topic.
func (h *History) AckedCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.acked)
}

// shownMax is how many faults of a history Check tells of.
const shownMax = 40

// Check returns what is wrong. The first of topics is the one that values are produced to, the others are those that
// they are moved to, all of them; beside are topics that only transactions of no interest otherwise write to.
func (h *History) Check(topics, beside []string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	broken := slices.Clone(h.broken)
	first := h.valuesOf(topics[0], &broken)
	for v := range h.acked {
		if first[v] == 0 {
			broken = append(broken, fmt.Sprintf("lost: %q was acknowledged in %s and is not there", v, topics[0]))
		}
	}
	for i, topic := range topics[1:] {
		got := h.valuesOf(topic, &broken)
		broken = append(broken, h.neverCame(topics[i], topic, first, got)...)
		for v := range got {
			if first[v] == 0 {
				broken = append(broken, fmt.Sprintf("invented: %q is in %s and was never in %s", v, topic, topics[0]))
			}
		}
	}
	for _, topic := range beside {
		h.valuesOf(topic, &broken)
	}
	for _, topic := range slices.Concat(topics, beside) {
		h.checkTransactions(topic, &broken)
	}
	for p, v := range h.live {
		if now, ok := h.final[p.Topic][p]; !ok || now != v {
			broken = append(broken, fmt.Sprintf("early: a live reader saw %q at %v, which holds %q in the end", v, p, now))
		}
	}
	slices.Sort(broken)
	if len(broken) > shownMax {
		broken = append(broken[:shownMax], fmt.Sprintf("and %d more", len(broken)-shownMax))
	}
	return broken
}

// neverCame tells of the values of first that are not among got, what is in topic to: a line for each partition of from, the topic that
// they should have been moved from.
func (h *History) neverCame(from, to string, first, got map[string]int) []string {
	type lost struct {
		count        int
		lowest, most Place
	}
	by := map[int32]lost{}
	var out []string
	places := map[string]Place{}
	for p, b := range h.final[from] {
		if r, err := Decode([]byte(b)); err == nil {
			places[r.Value] = p
		}
	}
	for v := range first {
		if got[v] > 0 {
			continue
		}
		p, there := places[v]
		if !there {
			out = append(out, fmt.Sprintf("lost: %q never came to %s, and is not in %s", v, to, from))
			continue
		}
		l, seen := by[p.Partition]
		if !seen || p.Offset < l.lowest.Offset {
			l.lowest = p
		}
		if !seen || p.Offset > l.most.Offset {
			l.most = p
		}
		l.count++
		by[p.Partition] = l
	}
	for _, l := range by {
		out = append(out, fmt.Sprintf("lost: values of %s never came to %s: %d in partition %d, %q at %d to %q at %d, taken by %v", from, to, l.count, l.lowest.Partition,
			h.final[from][l.lowest], l.lowest.Offset, h.final[from][l.most], l.most.Offset, h.takers(from, l.lowest, l.most)))
	}
	return out
}

// takers says which transactions took records of a partition between two places, and what became of them.
func (h *History) takers(topic string, from, to Place) []string {
	var out []string
	for _, t := range h.taken {
		if t.from.Topic == topic && t.from.Partition == from.Partition && t.from.Offset <= to.Offset && t.to >= from.Offset {
			out = append(out, fmt.Sprintf("%s (%d to %d at %s: %s)", t.txn, t.from.Offset, t.to, t.at.Format("15:04:05.000"), [...]string{"unknown", "committed", "aborted"}[h.outcomes[t.txn]]))
		}
	}
	return out
}

// valuesOf counts the values in a topic, and tells of those that are there more than once.
func (h *History) valuesOf(topic string, broken *[]string) map[string]int {
	values := map[string]int{}
	for p, b := range h.final[topic] {
		r, err := Decode([]byte(b))
		if err != nil {
			*broken = append(*broken, fmt.Sprintf("%v: %v", p, err))
			continue
		}
		if values[r.Value]++; values[r.Value] == 2 {
			*broken = append(*broken, fmt.Sprintf("duplicated: %q is in %s more than once", r.Value, topic))
		}
	}
	return values
}

// checkTransactions tells of transactions that are there in part, or should not be, or are not.
func (h *History) checkTransactions(topic string, broken *[]string) {
	there, of := map[string]int{}, map[string]int{}
	for _, b := range h.final[topic] {
		if r, err := Decode([]byte(b)); err == nil && r.Txn != "" {
			there[r.Txn]++
			of[r.Txn] = r.Of
		}
	}
	for _, txn := range slices.Sorted(maps.Keys(there)) {
		if there[txn] != of[txn] {
			*broken = append(*broken, fmt.Sprintf("torn: %d of %d records of %s are in %s", there[txn], of[txn], txn, topic))
		}
		if o, known := h.outcomes[txn]; known && o == Aborted {
			*broken = append(*broken, fmt.Sprintf("aborted: %s is in %s", txn, topic))
		}
	}
	for txn, n := range h.written[topic] {
		if there[txn] != n {
			*broken = append(*broken, fmt.Sprintf("lost: %s was committed with %d records, of which %d are in %s", txn, n, there[txn], topic))
		}
	}
}
