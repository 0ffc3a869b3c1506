package compaction

import (
	"hash/maphash"
	"math/bits"
)

// slotBytes is what a key costs in an OffsetMap, whatever its size.
const slotBytes = 24

// firstSlots is how many slots an OffsetMap starts with.
const firstSlots = 1 << 10

// slot holds 128 bits of a key's hash, and the offset of its last record plus one; 0 is an empty slot.
type slot struct {
	high, low uint64
	next      int64
}

// OffsetMap holds the last offset of each key, in bounded memory: of a key only a hash is kept. Two keys with the same
// 128 bits would be taken for one, and the older record of the two be lost. The two halves have random seeds of their own, so
// nobody can bring that about from outside, and chance does so once in 10^23 cleanings of 100 million keys.
type OffsetMap struct {
	seeds    [2]maphash.Seed
	slots    []slot
	used     int
	maxSlots int
	fullness float64
}

// NewOffsetMap returns an empty map that takes at most maxBytes of memory, and half as much again while it grows. fullness
// in (0, 1] is the part of its slots that may be used.
func NewOffsetMap(maxBytes int64, fullness float64) *OffsetMap {
	most := int(max(maxBytes/slotBytes, 2))
	return &OffsetMap{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, slots: make([]slot, min(firstSlots, most)), maxSlots: most, fullness: fullness}
}

// Len is the number of keys.
func (m *OffsetMap) Len() int { return m.used }

// Fullness is the used part of what the map may take, in [0, 1].
func (m *OffsetMap) Fullness() float64 { return float64(m.used) / float64(m.maxSlots) }

// Put notes that a key's last record is at offset. It changes nothing and returns false if there is no room for another key.
func (m *OffsetMap) Put(key []byte, offset int64) bool {
	high, low := m.hash(key)
	s := m.find(high, low)
	if s.next == 0 {
		for m.used >= m.room(len(m.slots)) {
			if len(m.slots) == m.maxSlots || m.used >= m.room(m.maxSlots) {
				return false
			}
			m.grow()
			s = m.find(high, low)
		}
		s.high, s.low = high, low
		m.used++
	}
	s.next = offset + 1
	return true
}

// Get returns the last offset of a key, or -1.
func (m *OffsetMap) Get(key []byte) int64 {
	high, low := m.hash(key)
	return m.find(high, low).next - 1
}

// find returns the slot of a hash, or the empty one where it belongs. One slot at least is always empty.
func (m *OffsetMap) find(high, low uint64) *slot {
	at, _ := bits.Mul64(high, uint64(len(m.slots)))
	for {
		s := &m.slots[at]
		if s.next == 0 || s.high == high && s.low == low {
			return s
		}
		if at++; at == uint64(len(m.slots)) {
			at = 0
		}
	}
}

// room is how many of n slots may be used.
func (m *OffsetMap) room(n int) int { return min(int(m.fullness*float64(n)), n-1) }

func (m *OffsetMap) grow() {
	old := m.slots
	m.slots = make([]slot, min(2*len(old), m.maxSlots))
	for i := range old {
		if old[i].next != 0 {
			*m.find(old[i].high, old[i].low) = old[i]
		}
	}
}

func (m *OffsetMap) hash(key []byte) (high, low uint64) {
	return maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key)
}
