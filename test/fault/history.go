package fault

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Place is where a record lies.
type Place struct {
	Partition int32
	Offset    int64
}

// Reading is one pass over the whole topic, from offset 0 to the high watermark of each partition.
type Reading struct {
	HighWatermarks map[int32]int64
	Values         map[Place][]string // what was read at each place: more than one entry means an offset given twice
	MustHave       map[Place]string   // acknowledged before the reading began
}

// History is what clients of one topic were told and saw. Its methods may be called from any goroutine; the readings are
// kept in the order in which they were added.
type History struct {
	mu       sync.Mutex
	sent     map[string]bool  // every value that was ever handed to a producer
	acked    map[Place]string // acknowledged values at the acknowledged place
	twice    []string         // acknowledgements that contradict each other
	seen     map[Place]string // what tailing consumers saw
	tails    []string         // what was wrong in the order that tailing consumers saw
	next     map[string]int64 // next offset that a tail expects, by tail and partition
	readings []Reading
}

// NewHistory returns an empty history.
func NewHistory() *History {
	return &History{sent: map[string]bool{}, acked: map[Place]string{}, seen: map[Place]string{}, next: map[string]int64{}}
}

// Sent notes that value, which must be new, is about to be sent.
func (h *History) Sent(value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[value] = true
}

// Acked notes that value was acknowledged at p.
func (h *History) Acked(p Place, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.acked[p]; ok && old != value {
		h.twice = append(h.twice, fmt.Sprintf("%v was acknowledged for %q and for %q", p, old, value))
	}
	h.acked[p] = value
}

// Saw notes that the consumer called tail read value at p. A tail starts at offset 0 and reads each partition in order.
func (h *History) Saw(tail string, p Place, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := fmt.Sprintf("%s/%d", tail, p.Partition)
	if want := h.next[key]; p.Offset != want {
		h.tails = append(h.tails, fmt.Sprintf("consumer %s expected offset %d of partition %d and got %d", tail, want, p.Partition, p.Offset))
	}
	h.next[key] = p.Offset + 1
	if old, ok := h.seen[p]; ok && old != value {
		h.tails = append(h.tails, fmt.Sprintf("%v was seen as %q and as %q", p, old, value))
	}
	h.seen[p] = value
}

// AckedCount returns how many values were acknowledged.
func (h *History) AckedCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.acked)
}

// AckedNow returns a copy of what is acknowledged so far, for Reading.MustHave.
func (h *History) AckedNow() map[Place]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.acked)
}

// Add adds a reading.
func (h *History) Add(r Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readings = append(h.readings, r)
}

// Check returns every promise that the history breaks, at most some of each kind.
func (h *History) Check() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	broken := append(slices.Clone(h.twice), h.tails...)
	past := map[int32]int64{}     // high watermarks
	content := map[Place]string{} // of every place read so far
	maps.Copy(content, h.seen)
	for i, r := range h.readings {
		for _, s := range slices.Concat(h.checkPlaces(r, content), checkAcked(r), checkDense(r), checkWatermarks(r, past)) {
			broken = append(broken, fmt.Sprintf("reading %d: %s", i+1, s))
		}
	}
	if len(broken) > 30 {
		broken = append(broken[:30], fmt.Sprintf("and %d more", len(broken)-30))
	}
	return broken
}

// checkPlaces tells of values that are there twice, that nobody sent, or that changed since an earlier reading.
func (h *History) checkPlaces(r Reading, content map[Place]string) (broken []string) {
	where := map[string]Place{}
	for _, p := range sortedPlaces(r.Values) {
		for _, v := range r.Values[p] {
			if old, ok := where[v]; ok {
				broken = append(broken, fmt.Sprintf("%q is at %v and at %v", v, old, p))
			}
			where[v] = p
			if !h.sent[v] {
				broken = append(broken, fmt.Sprintf("%q at %v was never sent", v, p))
			}
			if old, ok := content[p]; ok && old != v {
				broken = append(broken, fmt.Sprintf("%v held %q before and %q now", p, old, v))
			}
			content[p] = v
		}
	}
	for p, v := range content {
		if _, ok := r.Values[p]; !ok && p.Offset < r.HighWatermarks[p.Partition] {
			broken = append(broken, fmt.Sprintf("%v held %q before and nothing now", p, v))
		}
	}
	return broken
}

func checkAcked(r Reading) (broken []string) {
	for _, p := range sortedPlaces(r.MustHave) {
		if got := r.Values[p]; len(got) == 0 || got[0] != r.MustHave[p] {
			broken = append(broken, fmt.Sprintf("%q was acknowledged at %v, which holds %q", r.MustHave[p], p, got))
		}
	}
	return broken
}

func checkDense(r Reading) (broken []string) {
	for part, hw := range r.HighWatermarks {
		for off := range hw {
			switch n := len(r.Values[Place{part, off}]); {
			case n == 0:
				broken = append(broken, fmt.Sprintf("offset %d of partition %d is missing below the high watermark %d", off, part, hw))
			case n > 1:
				broken = append(broken, fmt.Sprintf("offset %d of partition %d was read %d times", off, part, n))
			}
		}
	}
	for p := range r.Values {
		if p.Offset < 0 || p.Offset >= r.HighWatermarks[p.Partition] {
			broken = append(broken, fmt.Sprintf("%v lies outside the high watermark %d", p, r.HighWatermarks[p.Partition]))
		}
	}
	return broken
}

func checkWatermarks(r Reading, past map[int32]int64) (broken []string) {
	for part, hw := range r.HighWatermarks {
		if hw < past[part] {
			broken = append(broken, fmt.Sprintf("the high watermark of partition %d fell from %d to %d", part, past[part], hw))
		}
		past[part] = hw
	}
	for part := range past {
		if _, ok := r.HighWatermarks[part]; !ok {
			broken = append(broken, fmt.Sprintf("partition %d is gone", part))
		}
	}
	return broken
}

func sortedPlaces[V any](m map[Place]V) []Place {
	return slices.SortedFunc(maps.Keys(m), func(a, b Place) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
}
