package dek

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// Keys is all keys that the records of the topic tell of. It is safe for concurrent use.
type Keys struct {
	mu   sync.RWMutex
	keks map[string]KEK
	deks map[string]map[dekKey]DEK // by KEK
	n    int                       // of DEKs
}

// NewKeys returns a state without keys.
func NewKeys() *Keys {
	return &Keys{keks: map[string]KEK{}, deks: map[string]map[dekKey]DEK{}}
}

// Apply takes over a record of the topic, whose timestamp is at. Records have to come in their order. A record that cannot be read is
// an error and changes nothing: the caller logs it and goes on.
func (s *Keys) Apply(key, value []byte, at time.Time) error {
	id, err := parseKey(key)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id.Type == "KEK" {
		return s.applyKEK(id.Name, value, at)
	}
	d := DEK{}
	if value != nil {
		if err := json.Unmarshal(value, &d); err != nil {
			return fmt.Errorf("record of a DEK under %s: %w", id.KEK, err)
		}
		d.KEK, d.Subject, d.Algorithm, d.Version = id.KEK, id.Subject, id.Algorithm, id.Version
		d.Type, d.Material, d.Timestamp = "", "", at.UnixMilli()
	}
	of := s.deks[id.KEK]
	id.dekKey.Tenant = tenant
	_, was := of[id.dekKey]
	switch {
	case value == nil && was:
		delete(of, id.dekKey)
		s.n--
	case value != nil:
		if of == nil {
			of = map[dekKey]DEK{}
			s.deks[id.KEK] = of
		}
		of[id.dekKey] = d
		if !was {
			s.n++
		}
	}
	return nil
}

func (s *Keys) applyKEK(name string, value []byte, at time.Time) error {
	if value == nil {
		delete(s.keks, name)
		return nil
	}
	var k KEK
	if err := json.Unmarshal(value, &k); err != nil {
		return fmt.Errorf("record of KEK %s: %w", name, err)
	}
	k.Name, k.Type, k.Timestamp = name, "", at.UnixMilli()
	if k.KMSProps == nil {
		k.KMSProps = map[string]string{} // answers have it always
	}
	s.keks[name] = k
	return nil
}

// reset forgets everything.
func (s *Keys) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.keks)
	clear(s.deks)
	s.n = 0
}

// Counts returns how many KEKs and DEKs there are, with the deleted ones.
func (s *Keys) Counts() (keks, deks int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.keks), s.n
}

// KEK finds a KEK; a deleted one only if asked to.
func (s *Keys) KEK(name string, deleted bool) (KEK, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, ok := s.keks[name]
	if !ok || k.Deleted && !deleted {
		return KEK{}, false
	}
	return k, true
}

// KEKs returns the names of all KEKs in order; with prefixes, of those that have a DEK for a subject with one of them.
func (s *Keys) KEKs(prefixes []string, deleted bool) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := []string{}
	if len(prefixes) == 0 {
		for name, k := range s.keks {
			if !k.Deleted || deleted {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	for name, of := range s.deks {
		for id, d := range of {
			if (!d.Deleted || deleted) && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(id.Subject, p) }) {
				names = append(names, name)
				break
			}
		}
	}
	slices.Sort(names)
	return names
}

// DEKs returns the DEKs under a KEK in the order of subject, algorithm and version. An empty subject or algorithm stands for all.
func (s *Keys) DEKs(kek, subject string, a fieldcrypt.Algorithm, deleted bool) []DEK {
	s.mu.RLock()
	all := slices.Collect(maps.Values(s.deks[kek]))
	s.mu.RUnlock()
	all = slices.DeleteFunc(all, func(d DEK) bool {
		return d.Deleted && !deleted || subject != "" && d.Subject != subject || a != "" && d.Algorithm != a
	})
	slices.SortFunc(all, func(x, y DEK) int {
		return cmp.Or(strings.Compare(x.Subject, y.Subject), strings.Compare(string(x.Algorithm), string(y.Algorithm)), cmp.Compare(x.Version, y.Version))
	})
	return all
}

// DEK finds a version, or fieldcrypt.Latest.
func (s *Keys) DEK(kek, subject string, a fieldcrypt.Algorithm, version int, deleted bool) (DEK, bool) {
	if version == fieldcrypt.Latest {
		all := s.DEKs(kek, subject, a, deleted)
		if len(all) == 0 {
			return DEK{}, false
		}
		return all[len(all)-1], true
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, ok := s.deks[kek][dekKey{tenant, kek, subject, a, version, "DEK"}]
	if !ok || d.Deleted && !deleted {
		return DEK{}, false
	}
	return d, true
}
