package dek

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/platform/gate"
)

// TopicLog is a topic with one writer at a time: as the registry of schemas has one.
type TopicLog interface {
	// Run hands every record to apply in the order of the topic, calls loaded once it has handed over all that there were, and goes on
	// until ctx ends. A record that comes after restart was called begins a new topic. A record without a key is a mark of the log's own.
	Run(ctx context.Context, apply func(r Record, offset, timeMs int64), restart, loaded func()) error
	// Own makes this instance the writer, if it is not. If it was not, the offset is that of a record that must be applied before anything is
	// decided; else -1.
	Own(ctx context.Context) (offset int64, err error)
	// Append writes records, all or none, and returns the offset of the last.
	Append(ctx context.Context, records []Record) (offset int64, err error)
	// End is the offset behind the last record.
	End(ctx context.Context) (int64, error)
}

// Noop is a record that changes nothing, for whoever takes over the topic: a tombstone of a key that nobody can make.
func Noop() Record {
	return Record{Key: []byte(`{"tenant":"default","name":"-","type":"KEK"}`)}
}

// Store is the Log in a topic. It is a service.Service: ready at once, and its methods wait until the topic has been read.
//
// Who changes something holds the turn, a token in a channel, while it talks to the topic; Store.mu guards the offset alone.
type Store struct {
	topic  TopicLog
	lost   error
	keys   *Keys
	logger *slog.Logger
	loaded chan struct{}
	turn   chan struct{}

	mu      sync.Mutex
	applied int64
	quiet   int64         // up to here nothing more comes: marks at the end that compaction took away
	moved   chan struct{} // closed when applied changes
}

// NewStore reads nothing yet. Lost is what the topic's errors wrap when another instance has become the writer.
func NewStore(topic TopicLog, lost error, keys *Keys, logger *slog.Logger) *Store {
	return &Store{topic: topic, lost: lost, keys: keys, logger: logger, loaded: make(chan struct{}), turn: make(chan struct{}, 1), applied: -1, quiet: -1, moved: make(chan struct{})}
}

// Run reads the topic until ctx ends.
func (s *Store) Run(ctx context.Context, ready func()) error {
	ready()
	var once sync.Once
	return s.topic.Run(ctx, s.apply, s.restart, func() { once.Do(func() { close(s.loaded) }) })
}

func (s *Store) apply(r Record, offset, timeMs int64) {
	if r.Key != nil {
		if err := s.keys.Apply(r.Key, r.Value, time.UnixMilli(timeMs)); err != nil {
			s.logger.Warn("a record of a topic of keys was passed over", "topic", Topic, "offset", offset, "err", err)
		}
	}
	s.at(offset)
}

func (s *Store) restart() {
	s.keys.reset()
	s.mu.Lock()
	s.quiet = -1
	s.mu.Unlock()
	s.at(-1)
}

func (s *Store) at(offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = offset
	close(s.moved)
	s.moved = make(chan struct{})
}

// Time that a change, and a look at the end of the topic, may take.
const (
	changeTimeout = 30 * time.Second
	syncTimeout   = 5 * time.Second
	quietTime     = 2 * time.Second // without what should stand before the end
	takeOvers     = 50              // by others, before a change gives up
)

func (s *Store) reach(ctx context.Context, offset int64) error {
	for {
		s.mu.Lock()
		applied, moved := s.applied, s.moved
		s.mu.Unlock()
		if applied >= offset {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return unavailable("read", context.Cause(ctx))
		}
	}
}

func unavailable(what string, err error) error {
	return fmt.Errorf("%s %s: %w: %w", what, Topic, gate.ErrUnavailable, err)
}

func (s *Store) wait(ctx context.Context) error {
	select {
	case <-s.loaded:
		return nil
	case <-ctx.Done():
		return unavailable("load", context.Cause(ctx))
	}
}

// Sync implements Log. If what should stand before the end of the topic does not come, it is taken for marks of transactions that are gone.
func (s *Store) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if err := s.wait(ctx); err != nil {
		return err
	}
	end, err := s.topic.End(ctx)
	if err != nil {
		return unavailable("find the end of", err)
	}
	s.mu.Lock()
	known := end-1 <= s.quiet
	s.mu.Unlock()
	if known {
		return nil
	}
	short, stop := context.WithTimeout(ctx, quietTime)
	defer stop()
	if err := s.reach(short, end-1); err != nil && ctx.Err() != nil {
		return err
	} else if err != nil {
		s.mu.Lock()
		s.quiet = max(s.quiet, end-1)
		s.mu.Unlock()
	}
	return nil
}

// Change implements Log. Decide may be called again, on a newer state.
func (s *Store) Change(ctx context.Context, decide func() ([]Record, error)) error {
	// Who goes away does not stop what has begun: the records may be on their way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	if err := s.wait(ctx); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return unavailable("write", context.Cause(ctx))
	}
	defer func() { <-s.turn }()
	var err error
	for attempt := range takeOvers {
		if err = s.attempt(ctx, decide); !errors.Is(err, s.lost) {
			return err
		}
		pause := time.NewTimer(time.Duration(attempt+1) * 5 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return unavailable("write", context.Cause(ctx))
		}
	}
	return unavailable("write", err)
}

func (s *Store) attempt(ctx context.Context, decide func() ([]Record, error)) error {
	offset, err := s.topic.Own(ctx)
	if err != nil {
		return unavailable("take over", err)
	}
	if err := s.reach(ctx, offset); err != nil {
		return err
	}
	records, err := decide()
	if err != nil || len(records) == 0 {
		return err
	}
	last, err := s.topic.Append(ctx, records)
	if err != nil {
		return unavailable("write", err)
	}
	return s.reach(ctx, last)
}
