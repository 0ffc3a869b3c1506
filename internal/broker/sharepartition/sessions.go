package sharepartition

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/weir-stream/weir/internal/kafka"
)

// Epochs of a share session with a meaning of their own.
const (
	SessionFirst int32 = 0
	SessionFinal int32 = -1
)

// SessionKey names a session.
type SessionKey struct{ Group, Member string }

// Sessions keeps the share sessions: which partitions a consumer asks for, and which request comes next.
type Sessions struct {
	max   int
	ended func(SessionKey) // a session's connection is gone

	mu    sync.Mutex
	byKey map[SessionKey]*session
}

type session struct {
	epoch      int32
	partitions []ID
	unhook     func() bool // stops waiting for the end of the connection
}

func newSessions(limit int, ended func(SessionKey)) *Sessions {
	return &Sessions{max: limit, ended: ended, byKey: map[SessionKey]*session{}}
}

// Open begins a session with partitions, in the place of one that is there. conn ends with the consumer's connection, and
// the session with it. The error is kafka.ShareSessionLimitReached.
func (s *Sessions) Open(conn context.Context, k SessionKey, partitions []ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.byKey[k]; old != nil {
		old.unhook()
		delete(s.byKey, k)
	}
	if len(s.byKey) >= s.max {
		return kafka.ShareSessionLimitReached
	}
	n := &session{epoch: 1}
	n.add(partitions)
	n.unhook = context.AfterFunc(conn, func() { s.lost(k, n) })
	s.byKey[k] = n
	return nil
}

// lost ends a session whose connection is gone.
func (s *Sessions) lost(k SessionKey, n *session) {
	s.mu.Lock()
	current := s.byKey[k] == n
	if current {
		delete(s.byKey, k)
	}
	s.mu.Unlock()
	if current {
		s.ended(k)
	}
}

// Check tells whether there is a session, and unless epoch is SessionFinal whether that is its next epoch. The errors are
// kafka.ShareSessionNotFound and kafka.InvalidShareSessionEpoch.
func (s *Sessions) Check(k SessionKey, epoch int32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.byKey[k]
	switch {
	case n == nil:
		return kafka.ShareSessionNotFound
	case epoch != SessionFinal && epoch != n.epoch:
		return kafka.InvalidShareSessionEpoch
	}
	return nil
}

// Advance goes on to the next epoch with partitions added and forgotten, and returns those of the session, in turns: each
// epoch begins with another one. The errors are those of Check.
func (s *Sessions) Advance(k SessionKey, epoch int32, added, forgotten []ID) ([]ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.byKey[k]
	switch {
	case n == nil:
		return nil, kafka.ShareSessionNotFound
	case epoch != n.epoch:
		return nil, kafka.InvalidShareSessionEpoch
	}
	if n.epoch++; n.epoch == math.MaxInt32 {
		n.epoch = 1
	}
	n.add(added)
	if len(forgotten) > 0 {
		gone := make(map[ID]bool, len(forgotten))
		for _, id := range forgotten {
			gone[id] = true
		}
		n.partitions = slices.DeleteFunc(n.partitions, func(id ID) bool { return gone[id] })
	}
	return turned(n.partitions, epoch), nil
}

func turned(list []ID, by int32) []ID {
	if len(list) == 0 {
		return nil
	}
	at := int(by) % len(list)
	return slices.Concat(list[at:], list[:at])
}

func (n *session) add(ids []ID) {
	if len(ids) == 0 {
		return
	}
	has := make(map[ID]bool, len(n.partitions)+len(ids))
	for _, id := range n.partitions {
		has[id] = true
	}
	for _, id := range ids {
		if !has[id] {
			has[id] = true
			n.partitions = append(n.partitions, id)
		}
	}
}

// drop ends a session, if it is there.
func (s *Sessions) drop(k SessionKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.byKey[k]; n != nil {
		n.unhook()
		delete(s.byKey, k)
	}
}

// serves tells whether a member of a group has a session.
func (s *Sessions) serves(group string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.byKey {
		if k.Group == group {
			return true
		}
	}
	return false
}

// count returns how many sessions there are, and how many partitions they have.
func (s *Sessions) count() (sessions, partitions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.byKey {
		partitions += len(n.partitions)
	}
	return len(s.byKey), partitions
}
