package group

import (
	"slices"

	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// offsetKey names a committed offset.
type offsetKey struct {
	group, topic string
	partition    int32
}

// offsetModel works out from a log which offsets a reader may see, without any state between the entries.
type offsetModel struct{ log []entry }

func (m *offsetModel) write(e entry) { m.log = append(m.log, e) }

// fate tells whether the transaction of the record at index i is committed, aborted (both false) or open.
func (m *offsetModel) fate(i int) (committed, open bool) {
	e := m.log[i]
	if e.in == nil {
		return true, false
	}
	for _, later := range m.log[i:] {
		if later.marker != nil && later.marker.ID == e.in.ID {
			return later.marker.Commit, false
		}
	}
	return false, true
}

// visible returns the offsets of readers: for each key the last record that is committed, unless it is a tombstone. An
// older record whose transaction was committed later does not come back over it.
func (m *offsetModel) visible() map[offsetKey]int64 {
	return m.read(func(int) bool { return true })
}

// compacted is visible after a compaction: for each key only its last record that was not aborted is left.
func (m *offsetModel) compacted() map[offsetKey]int64 {
	last := map[offsetKey]int{}
	for i, e := range m.log {
		if committed, open := m.fate(i); e.marker == nil && (committed || open) {
			last[keyOf(e.record)] = i
		}
	}
	return m.read(func(i int) bool { return last[keyOf(m.log[i].record)] == i })
}

func (m *offsetModel) read(keep func(i int) bool) map[offsetKey]int64 {
	seen := map[offsetKey]int64{}
	for i, e := range m.log {
		if e.marker != nil || e.record.Kind != offsetrecord.KindOffset || !keep(i) {
			continue
		}
		committed, _ := m.fate(i)
		switch key := keyOf(e.record); {
		case !committed:
		case e.record.Offset == nil:
			delete(seen, key)
		default:
			seen[key] = e.record.Offset.Offset
		}
	}
	return seen
}

func keyOf(r Record) offsetKey { return offsetKey{r.Group, r.Topic, r.Partition} }

func (m *offsetModel) has(key offsetKey) bool { _, ok := m.visible()[key]; return ok }

func (m *offsetModel) hasGroup(id string) bool {
	for key := range m.visible() {
		if key.group == id {
			return true
		}
	}
	return false
}

// holds tells whether the newest record of key, in whatever transaction, is of this offset.
func (m *offsetModel) holds(key offsetKey, offset int64) bool {
	for _, e := range slices.Backward(m.log) {
		if r := e.record; e.marker == nil && r.Kind == offsetrecord.KindOffset && keyOf(r) == key {
			return r.Offset != nil && r.Offset.Offset == offset
		}
	}
	return false
}

func (m *offsetModel) anyOpen() bool {
	open := map[int64]bool{}
	for _, e := range m.log {
		switch {
		case e.marker != nil:
			delete(open, e.marker.ID)
		case e.in != nil:
			open[e.in.ID] = true
		}
	}
	return len(open) > 0
}
