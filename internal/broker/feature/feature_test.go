package feature

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// memory is a Store that writes down what it keeps.
type memory struct {
	levels map[string]int16
	epoch  int64
}

func (m *memory) FeatureLevels() (map[string]int16, int64) { return m.levels, m.epoch }

func (m *memory) SetFeatureLevels(_ context.Context, levels map[string]int16) error {
	next := maps.Clone(m.levels)
	if next == nil {
		next = map[string]int16{}
	}
	maps.Copy(next, levels)
	m.levels = next
	m.epoch++
	return nil
}

func served(keys ...int16) func(int16) bool {
	return func(key int16) bool { return slices.Contains(keys, key) }
}

func finalized(s *Set) string {
	var words []string
	list, _ := s.Finalized()
	for _, f := range list {
		words = append(words, fmt.Sprintf("%s=%d", f.Name, f.Level))
	}
	return strings.Join(words, " ")
}

func TestANewClusterHasTheFeaturesWhoseRequestsAreServed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys []int16
		want string
	}{
		{nil, "eligible.leader.replicas.version=1 metadata.version=30"},
		{[]int16{24}, "eligible.leader.replicas.version=1 metadata.version=30 transaction.version=2"},
		{[]int16{24, 68, 78, 88}, "eligible.leader.replicas.version=1 group.version=1 metadata.version=30 share.version=1 streams.version=1 transaction.version=2"},
	} {
		if got := finalized(NewSet(&memory{}, 1, served(c.keys...))); got != c.want {
			t.Errorf("with %v served: got %q, want %q", c.keys, got, c.want)
		}
	}
}

func TestLevelsChangeByKafkasRules(t *testing.T) {
	t.Parallel()
	store := &memory{}
	s := NewSet(store, 1, served(24, 68, 78, 88))
	for _, c := range []struct {
		name    string
		updates []Update
		refused string // part of the text; "" if taken
		want    map[string]int16
	}{
		{"down without saying so", []Update{{GroupVersion, 0, Upgrade}}, "without setting the upgrade type", nil},
		{"the same level", []Update{{GroupVersion, 1, SafeDowngrade}}, "", nil},
		{"unknown", []Update{{GroupVersion, 0, SafeDowngrade}, {"no.version", 1, Upgrade}}, "Local controller 1 does not support", nil},
		{"too high", []Update{{GroupVersion, 2, Upgrade}}, "only supports versions 0-1", nil},
		{"negative", []Update{{GroupVersion, -1, Upgrade}}, "cannot be less than 0", nil},
		{"of no kind", []Update{{GroupVersion, 0, 0}}, "does not support the given upgrade type", nil},
		{"down", []Update{{TransactionVersion, 1, SafeDowngrade}, {GroupVersion, 0, UnsafeDowngrade}}, "", map[string]int16{TransactionVersion: 1, GroupVersion: 0}},
		{"up by a downgrade", []Update{{TransactionVersion, 2, SafeDowngrade}}, "downgrade to a newer version", map[string]int16{TransactionVersion: 1, GroupVersion: 0}},
		{"the last of two counts", []Update{{TransactionVersion, 0, SafeDowngrade}, {TransactionVersion, 2, Upgrade}}, "", map[string]int16{TransactionVersion: 2, GroupVersion: 0}},
		{"metadata, safely", []Update{{"metadata.version", 29, SafeDowngrade}}, "it might delete metadata", map[string]int16{TransactionVersion: 2, GroupVersion: 0}},
		{"metadata, by force", []Update{{"metadata.version", 7, UnsafeDowngrade}}, "Unsafe metadata downgrade", map[string]int16{TransactionVersion: 2, GroupVersion: 0}},
		{"kraft", []Update{{"kraft.version", 1, Upgrade}}, "no KRaft quorum", map[string]int16{TransactionVersion: 2, GroupVersion: 0}},
	} {
		err := s.Update(t.Context(), c.updates, false)
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.refused)
		}
		if !maps.Equal(store.levels, c.want) {
			t.Errorf("%s: levels are %v, want %v", c.name, store.levels, c.want)
		}
	}
	if s.Level(GroupVersion) != 0 || s.Level(TransactionVersion) != 2 {
		t.Errorf("group %d, transaction %d", s.Level(GroupVersion), s.Level(TransactionVersion))
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	store := &memory{}
	s := NewSet(store, 1, served(68))
	if err := s.Update(t.Context(), []Update{{GroupVersion, 0, SafeDowngrade}}, true); err != nil || store.epoch != 0 {
		t.Errorf("got %v, epoch %d", err, store.epoch)
	}
}

func TestALevelOfAnotherVersionIsKeptInRange(t *testing.T) {
	t.Parallel()
	s := NewSet(&memory{levels: map[string]int16{GroupVersion: 7, "metadata.version": 1}}, 1, served(68))
	if got := finalized(s); got != "eligible.leader.replicas.version=1 group.version=1 metadata.version=7" {
		t.Errorf("got %q", got)
	}
}
