package meta

import (
	"slices"
	"strings"
	"sync"
)

// Mem is a Store in memory, for tests and for servers that keep nothing. It starts no goroutine.
type Mem struct{ *engine }

// NewMem returns an empty store. A nil clock is that of the machine.
func NewMem(clock Clock) *Mem {
	return &Mem{engine: newEngine(&memBackend{records: make(map[string]record)}, clock, 0)}
}

type memBackend struct {
	mu      sync.RWMutex
	closed  bool
	records map[string]record
	keys    []string // sorted
}

func (m *memBackend) get(key string) (record, bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return record{}, false, ErrClosed
	}
	rec, ok := m.records[key]
	return rec, ok, nil
}

func (m *memBackend) scan(prefix, after string, limit int) ([]Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	start, found := slices.BinarySearch(m.keys, max(prefix, after))
	if found && m.keys[start] == after {
		start++
	}
	var entries []Entry
	for _, key := range m.keys[start:] {
		if !strings.HasPrefix(key, prefix) || limit > 0 && len(entries) == limit {
			break
		}
		rec := m.records[key]
		entries = append(entries, Entry{Key: key, Value: rec.value, Revision: rec.revision})
	}
	return entries, nil
}

func (m *memBackend) commit(changes map[string]change, _ int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, c := range changes {
		i, found := slices.BinarySearch(m.keys, key)
		switch {
		case c.deleted && found:
			delete(m.records, key)
			m.keys = slices.Delete(m.keys, i, i+1)
		case c.deleted:
		default:
			m.records[key] = c.record
			if !found {
				m.keys = slices.Insert(m.keys, i, key)
			}
		}
	}
	return nil
}

func (m *memBackend) room() error { return nil }

func (m *memBackend) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
