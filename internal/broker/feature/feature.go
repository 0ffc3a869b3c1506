// Package feature knows the features of Kafka 4.3 (KIP-584, KIP-1022): versioned abilities of a cluster that operators
// raise and lower, and by whose finalized levels clients choose the protocols they speak. transaction.version 2 makes them
// use the second version of transactions, group.version 1 the consumer protocol of KIP-848, share.version 1 share groups,
// streams.version 1 streams groups: versions of requests alone are not enough for that.
//
// The package owns the list, what levels a new cluster has, and the rules by which levels may change, in Kafka's words.
// It keeps nothing: levels that were changed live in the metadata store, from where a Set reads them. A feature whose
// requests are not served is not there at all: it is neither supported nor finalized. A Set may be used by many
// goroutines; Level costs a look at a snapshot.
package feature

import (
	"context"
	"slices"

	"github.com/weir-stream/weir/internal/kafka"
)

// Names of features that code asks for.
const (
	TransactionVersion = "transaction.version"
	GroupVersion       = "group.version"
	ShareVersion       = "share.version"
	StreamsVersion     = "streams.version"
	ELRVersion         = "eligible.leader.replicas.version"
	metadataVersion    = "metadata.version"
	kraftVersion       = "kraft.version"
)

// Feature is one feature. Levels are inclusive; 0 means that it is off and is shown as not finalized.
type Feature struct {
	Name            string
	Lowest, Highest int16
	initial         int16 // of a new cluster
	key             int16 // of the request that must be served for it; -1: none
}

// all are the features of Kafka 4.3.1, sorted by name.
var all = [...]Feature{
	{ELRVersion, 0, 1, 1, -1},
	{GroupVersion, 0, 1, 1, 68},
	{kraftVersion, 0, 1, 0, -1},
	{metadataVersion, 7, 30, 30, -1},
	{ShareVersion, 0, 1, 1, 78},
	{StreamsVersion, 0, 1, 1, 88},
	{TransactionVersion, 0, 2, 2, 24},
}

// Store keeps the levels that were changed.
type Store interface {
	// FeatureLevels are the levels that differ from those of a new cluster, and a number that grows when one changes.
	FeatureLevels() (levels map[string]int16, epoch int64)
	// SetFeatureLevels changes levels, all of them or none. It returns when that is durable and FeatureLevels shows it.
	SetFeatureLevels(ctx context.Context, levels map[string]int16) error
}

// Set is the features of one cluster.
type Set struct {
	store  Store
	node   int32
	served []Feature
}

// NewSet returns the features whose requests serves confirms. node is the id that refusals name.
func NewSet(store Store, node int32, serves func(key int16) bool) *Set {
	s := &Set{store: store, node: node}
	for _, f := range all {
		if f.key < 0 || serves(f.key) {
			s.served = append(s.served, f)
		}
	}
	return s
}

// Supported are the features that this broker has, sorted by name. The slice must not be changed.
func (s *Set) Supported() []Feature { return s.served }

// Level is the finalized level of a feature; 0 if it is off or not served.
func (s *Set) Level(name string) int16 {
	levels, _ := s.store.FeatureLevels()
	return s.level(name, levels)
}

func (s *Set) level(name string, levels map[string]int16) int16 {
	f, ok := s.find(name)
	if !ok {
		return 0
	}
	if l, changed := levels[name]; changed {
		return min(max(l, f.Lowest), f.Highest)
	}
	return f.initial
}

func (s *Set) find(name string) (Feature, bool) {
	i := slices.IndexFunc(s.served, func(f Feature) bool { return f.Name == name })
	if i < 0 {
		return Feature{}, false
	}
	return s.served[i], true
}

// Finalized is a feature that is on.
type Finalized struct {
	Name  string
	Level int16
}

// Finalized are the features that are on, sorted by name, and the epoch of the answer, which grows with each change.
func (s *Set) Finalized() (features []Finalized, epoch int64) {
	levels, epoch := s.store.FeatureLevels()
	for _, f := range s.served {
		if l := s.level(f.Name, levels); l > 0 {
			features = append(features, Finalized{f.Name, l})
		}
	}
	return features, epoch
}

// Kind says what an Update is meant to be, with Kafka's numbers.
type Kind int8

// The kinds of updates.
const (
	Upgrade         Kind = 1
	SafeDowngrade   Kind = 2
	UnsafeDowngrade Kind = 3
)

// Update asks for a level of a feature.
type Update struct {
	Name  string
	Level int16
	Kind  Kind
}

// Update changes levels, all of updates or none; if a feature stands in it twice the last counts. A refusal is a
// *kafka.Detail of the first update that is wrong.
func (s *Set) Update(ctx context.Context, updates []Update, validateOnly bool) error {
	levels, _ := s.store.FeatureLevels()
	changed := map[string]int16{}
	for i, u := range updates {
		if slices.ContainsFunc(updates[i+1:], func(later Update) bool { return later.Name == u.Name }) {
			continue
		}
		current := s.level(u.Name, levels)
		if why := s.refusal(u, current); why != "" {
			return kafka.Errorf(kafka.InvalidUpdateVersion, "The update failed for all features since the following feature had an error: %s", why)
		}
		if u.Level != current {
			changed[u.Name] = u.Level
		}
	}
	if validateOnly || len(changed) == 0 {
		return nil
	}
	return s.store.SetFeatureLevels(ctx, changed)
}
