package api

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
)

// FetchSessionSlots bounds how many incremental fetch sessions are kept.
var FetchSessionSlots = config.Int("max.incremental.fetch.session.cache.slots", 1000, config.AtLeast(0),
	"Number of incremental fetch sessions that are kept; clients beyond it send their whole list of partitions with each fetch.")

// sessionEvictAfter is how long a session must have been idle before any new one may take its slot, and how old it must be
// before one with more partitions may.
const sessionEvictAfter = 2 * time.Minute

// Session ids and epochs with a meaning of their own (KIP-227).
const (
	sessionNone       = 0
	sessionEpochFirst = 0
	sessionEpochFinal = -1
)

// fetchPartition is one partition of a fetch. It is not changed once it is made.
type fetchPartition struct {
	topicID kafka.TopicID
	topic   string
	kmsg.FetchRequestTopicPartition
}

// sessionPartition is a partition of a session, and what the client was last told of it.
type sessionPartition struct {
	*fetchPartition

	told                                bool
	highWatermark, lastStable, logStart int64
	code                                kafka.Error
}

type fetchKey struct {
	id        kafka.TopicID
	topic     string
	partition int32
}

func (p *fetchPartition) key() fetchKey { return fetchKey{p.topicID, p.topic, p.Partition} }

// fetchSession is the list of partitions that a client has asked for, in the order in which they are to be served. mu
// is held while a fetch of the session is being prepared or answered, not while it waits.
type fetchSession struct {
	id      int32
	withIDs bool

	mu         sync.Mutex
	epoch      int32
	partitions []*sessionPartition
	index      map[fetchKey]*sessionPartition

	// Guarded by fetchSessions.mu; size is how many partitions the session began with.
	made, lastUsed time.Time
	size           int
}

// fetchSessions keeps the sessions, a bounded number of them.
type fetchSessions struct {
	max int
	now func() time.Time

	mu   sync.Mutex
	byID map[int32]*fetchSession
}

func newFetchSessions(slots int, now func() time.Time) *fetchSessions {
	return &fetchSessions{max: slots, now: now, byID: map[int32]*fetchSession{}}
}

// get returns the session that an incremental fetch continues.
func (s *fetchSessions) get(id int32) (*fetchSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byID[id]
	if f == nil {
		return nil, kafka.FetchSessionIDNotFound
	}
	f.lastUsed = s.now()
	return f, nil
}

func (s *fetchSessions) drop(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

func (s *fetchSessions) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}

// create keeps a new session with the given partitions, or returns nil if all slots are in use.
func (s *fetchSessions) create(partitions []*fetchPartition, withIDs bool) *fetchSession {
	if len(partitions) == 0 {
		return nil
	}
	f := &fetchSession{withIDs: withIDs, epoch: 1, index: make(map[fetchKey]*sessionPartition, len(partitions)), size: len(partitions)}
	for _, p := range partitions {
		f.put(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if len(s.byID) >= s.max && !s.evictLocked(now, len(partitions)) {
		return nil
	}
	for f.id == sessionNone || s.byID[f.id] != nil {
		f.id = rand.Int32()
	}
	f.made, f.lastUsed = now, now
	s.byID[f.id] = f
	return f
}

// evictLocked drops the session that has been idle longest, or else the smallest one that may make way for a session of
// size partitions. It returns false if there is none.
func (s *fetchSessions) evictLocked(now time.Time, size int) bool {
	var idle, small *fetchSession
	for _, f := range s.byID {
		if now.Sub(f.lastUsed) > sessionEvictAfter && (idle == nil || f.lastUsed.Before(idle.lastUsed)) {
			idle = f
		}
		if now.Sub(f.made) > sessionEvictAfter && f.size < size && (small == nil || f.size < small.size) {
			small = f
		}
	}
	victim := cmp.Or(idle, small)
	if victim == nil {
		return false
	}
	delete(s.byID, victim.id)
	return true
}

// put adds a partition, or takes over what the client asks of one that is there.
func (f *fetchSession) put(p *fetchPartition) {
	if old := f.index[p.key()]; old != nil {
		old.fetchPartition = p
		return
	}
	sp := &sessionPartition{fetchPartition: p}
	f.index[p.key()] = sp
	f.partitions = append(f.partitions, sp)
}

// advance checks the epoch of an incremental fetch, takes its changes over, and returns the partitions to fetch.
func (f *fetchSession) advance(epoch int32, changed []*fetchPartition, forgotten []fetchKey, withIDs bool) ([]*fetchPartition, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if epoch != f.epoch {
		return nil, kafka.InvalidFetchSessionEpoch
	}
	if withIDs != f.withIDs {
		return nil, kafka.FetchSessionTopicIDError
	}
	f.epoch++
	if f.epoch <= 0 {
		f.epoch = 1
	}
	for _, p := range changed {
		f.put(p)
	}
	if len(forgotten) > 0 {
		for _, k := range forgotten {
			delete(f.index, k)
		}
		f.partitions = slices.DeleteFunc(f.partitions, func(p *sessionPartition) bool { return f.index[p.key()] != p })
	}
	out := make([]*fetchPartition, len(f.partitions))
	for i, p := range f.partitions {
		out[i] = p.fetchPartition
	}
	return out, nil
}

// filter takes what has changed since the client was last told, remembers it, and moves the partitions that gave
// records to the end, so that none starves.
func (f *fetchSession) filter(results []fetchResult, all bool) []fetchResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := results[:0:0]
	served := map[*sessionPartition]bool{}
	for _, r := range results {
		p := f.index[r.partition.key()]
		if p == nil { // the client forgot it meanwhile, on another connection
			kept = append(kept, r)
			continue
		}
		if r.read.Bytes > 0 {
			served[p] = true
		}
		same := p.told && p.highWatermark == r.read.HighWatermark && p.lastStable == r.read.LastStable && p.logStart == r.read.LogStart
		if all || r.read.Bytes > 0 || !same || r.sent || r.code != kafka.None || p.code != kafka.None {
			kept = append(kept, r)
		}
		p.told, p.code = true, r.code
		p.highWatermark, p.lastStable, p.logStart = r.read.HighWatermark, r.read.LastStable, r.read.LogStart
	}
	if len(served) > 0 && len(served) < len(f.partitions) {
		slices.SortStableFunc(f.partitions, func(a, b *sessionPartition) int {
			switch {
			case served[a] == served[b]:
				return 0
			case served[a]:
				return 1
			}
			return -1
		})
	}
	return kept
}
