package sharepartition

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// memStates is a state store in memory, whose writes can be held up or refused.
type memStates struct {
	mu     sync.Mutex
	held   chan struct{}
	refuse error
	writes []share.WriteState
}

func (m *memStates) Read(context.Context, share.ReadState) (share.StateReply, error) {
	return share.StateReply{Start: share.NoOffset}, nil
}

func (m *memStates) Write(ctx context.Context, e share.WriteState) error {
	m.mu.Lock()
	held, refuse := m.held, m.refuse
	m.writes = append(m.writes, e)
	m.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return refuse
}

func (m *memStates) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// fixedTopic is one topic with one partition.
type fixedTopic struct{}

func (fixedTopic) Sync(context.Context) error { return nil }

func (fixedTopic) LogConfig(kafka.TopicID) (*partition.Config, int32, bool) {
	return &partition.Config{MaxMessageBytes: 1 << 20, SegmentBytes: 1 << 30, RetentionMs: -1, RetentionBytes: -1, TimestampBeforeMaxMs: 1 << 60, TimestampAfterMaxMs: 1 << 60}, 1, true
}

func (fixedTopic) Shard(kafka.TopicID, int32) int32 { return 0 }

type bench struct {
	*Manager
	t      *testing.T
	log    *partition.Log
	states *memStates
	id     ID
}

// inBubble runs a test in a synctest bubble, with a manager and a log of 10 records.
func inBubble(t *testing.T, test func(*bench)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMem()
		if err := vfs.MakeDirs(disk, "wal"); err != nil {
			t.Fatal(err)
		}
		quiet := slog.New(slog.DiscardHandler)
		storage := shard.New(shard.Options{
			FS: disk, WALDir: "wal", Blob: blob.NewMem(), Meta: meta.NewMem(nil), Topics: fixedTopic{}, Shards: 1, Now: time.Now,
			Nonce: func() [16]byte { return [16]byte{1} }, Logger: quiet, WALFileBytes: 256 << 10, ReserveBytes: 64 << 10,
		})
		ctx, cancel := context.WithCancel(t.Context())
		b := &bench{t: t, states: &memStates{}, id: ID{Topic: kafka.TopicID{1}}}
		var running sync.WaitGroup
		ready := make(chan struct{})
		running.Go(func() {
			if err := storage.Run(ctx, func() { close(ready) }); err != nil {
				t.Error(err)
			}
		})
		<-ready
		log, err := storage.Log(b.id.Topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		b.log = log
		b.Manager = New(Options{
			States: b.states, Sessions: 2, Now: time.Now, Logger: quiet,
			Log:      func(kafka.TopicID, int32) (*partition.Log, error) { return log, nil },
			Settings: func(string) Settings { return Settings{Limits: limits, Reset: Reset{Earliest: true}} },
		})
		opened := make(chan struct{})
		running.Go(func() {
			if err := b.Run(ctx, func() { close(opened) }); err != nil {
				t.Error(err)
			}
		})
		<-opened
		b.produce(10)
		test(b)
		cancel()
		running.Wait()
	})
}

var limits = share.Limits{DeliveryCount: 5, InFlight: 100, Lock: 30 * time.Second, Renew: true}

func (b *bench) produce(n int) {
	b.t.Helper()
	builder := record.NewBuilder(record.None, 0)
	for range n {
		builder.Append(time.Now().UnixMilli(), nil, []byte("v"), nil)
	}
	a, err := b.log.AppendInternal(builder.Build(record.BuildOptions{}))
	if err == nil {
		err = a.Ticket.Wait(b.t.Context())
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// fetch returns how many records a member gets.
func (b *bench) fetch(member string, wait time.Duration) (records int64) {
	b.t.Helper()
	for _, r := range b.Fetch(b.t.Context(), Request{Group: "g", Member: member, Partitions: []ID{b.id}, MaxWait: wait, MinBytes: 1, MaxBytes: 1 << 20, MaxRecords: 100, BatchSize: 100}) {
		if r.Err != nil {
			b.t.Fatal(r.Err)
		}
		for _, a := range r.Acquired {
			records += a.Last - a.First + 1
		}
		for _, c := range r.Chunks {
			if c.Done != nil {
				c.Done()
			}
		}
	}
	return records
}

func (b *bench) accept(member string, first, last int64) func(context.Context) error {
	b.t.Helper()
	wait, err := b.Acknowledge(b.t.Context(), "g", member, b.id, []share.Ack{{First: first, Last: last, Types: []int8{share.AckAccept}}})
	if err != nil {
		b.t.Fatal(err)
	}
	return wait
}

func TestLocksEndAfterTheirTime(t *testing.T) {
	inBubble(t, func(b *bench) {
		if n := b.fetch("a", 0); n != 10 {
			b.t.Fatalf("the first member got %d records, want 10", n)
		}
		begun := time.Now()
		if n := b.fetch("b", time.Minute); n != 10 {
			b.t.Errorf("the second member got %d records, want 10", n)
		}
		if waited := time.Since(begun); waited != 30*time.Second {
			b.t.Errorf("that took %v, want the 30 s of a lock", waited)
		}
	})
}

func TestNoAcknowledgementIsAnsweredBeforeItIsDurable(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.fetch("a", 0)
		synctest.Wait()
		held := make(chan struct{})
		b.states.set(func() { b.states.held = held })
		answered := make(chan error, 3)
		for i := range int64(3) {
			wait := b.accept("a", i, i)
			go func() { answered <- wait(b.t.Context()) }()
			synctest.Wait()
		}
		select {
		case err := <-answered:
			b.t.Fatalf("an acknowledgement was answered (%v) before it was durable", err)
		default:
		}
		close(held)
		for range 3 {
			if err := <-answered; err != nil {
				b.t.Error(err)
			}
		}
		// The first write had one change, the other two went together.
		if n := len(b.states.writes); n != 3 { // and one that told where the group begins
			b.t.Errorf("%d writes, want 3", n)
		}
	})
}

func TestARefusedWriteTakesTheAcknowledgementBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.fetch("a", 0)
		synctest.Wait()
		b.states.set(func() { b.states.refuse = kafka.CoordinatorNotAvailable })
		if err := b.accept("a", 0, 9)(b.t.Context()); !errors.Is(err, kafka.CoordinatorNotAvailable) {
			b.t.Fatalf("acknowledged with %v, want the store's error", err)
		}
		b.states.set(func() { b.states.refuse = nil })
		if err := b.accept("a", 0, 9)(b.t.Context()); err != nil {
			b.t.Errorf("acknowledged again with %v", err)
		}
	})
}

func TestAFencedWindowIsLoadedAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.fetch("a", 0)
		synctest.Wait()
		b.states.set(func() { b.states.refuse = kafka.FencedStateEpoch })
		if err := b.accept("a", 0, 9)(b.t.Context()); !errors.Is(err, kafka.FencedStateEpoch) {
			b.t.Fatalf("acknowledged with %v, want FENCED_STATE_EPOCH", err)
		}
		b.states.set(func() { b.states.refuse = nil })
		if n := b.fetch("b", 0); n != 10 {
			b.t.Errorf("after that a member got %d records, want all 10 of a fresh state", n)
		}
	})
}

func TestASessionEndsWithItsConnectionAndGivesBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		conn, closed := context.WithCancel(b.t.Context())
		if err := b.Sessions().Open(conn, SessionKey{"g", "a"}, []ID{b.id}); err != nil {
			b.t.Fatal(err)
		}
		if err := b.Sessions().Open(b.t.Context(), SessionKey{"g", "b"}, []ID{b.id}); err != nil {
			b.t.Fatal(err)
		}
		b.fetch("a", 0)
		time.AfterFunc(time.Second, closed)
		begun := time.Now()
		if n := b.fetch("b", time.Minute); n != 10 || time.Since(begun) != time.Second {
			b.t.Errorf("the other member got %d records after %v, want 10 as the connection ended, after 1 s", n, time.Since(begun))
		}
		if err := b.Sessions().Check(SessionKey{"g", "a"}, 1); !errors.Is(err, kafka.ShareSessionNotFound) {
			b.t.Errorf("the session: %v, want SHARE_SESSION_NOT_FOUND", err)
		}
	})
}

func TestAFetchWaitsForRecords(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.fetch("a", 0)
		time.AfterFunc(time.Second, func() { b.produce(4) })
		begun := time.Now()
		if n := b.fetch("b", 20*time.Second); n != 4 || time.Since(begun) != time.Second {
			b.t.Errorf("got %d records after %v, want the 4 new ones after 1 s", n, time.Since(begun))
		}
	})
}

func TestWindowsOfAnEmptyGroupGo(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.fetch("a", 0)
		b.MemberLeft(share.MemberLeft{Group: "g", Member: "a", Emptied: true})
		synctest.Wait()
		if n := len(b.of("g")); n != 0 {
			b.t.Errorf("%d windows are left of a group without members", n)
		}
	})
}

// The group's coordinator may be another broker, which sets its offsets anew without a word to this one.
func TestWindowsGoWithTheLastSessionOfTheirGroup(t *testing.T) {
	inBubble(t, func(b *bench) {
		for _, member := range []string{"a", "b"} {
			if err := b.Sessions().Open(b.t.Context(), SessionKey{"g", member}, []ID{b.id}); err != nil {
				b.t.Fatal(err)
			}
		}
		b.fetch("a", 0)
		synctest.Wait()
		if err := b.accept("a", 0, 9)(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		b.Close(SessionKey{"g", "a"})
		if n := b.fetch("b", 0); n != 0 {
			b.t.Errorf("the other member got %d records that were accepted", n)
		}
		synctest.Wait()
		b.Close(SessionKey{"g", "b"})
		synctest.Wait()
		if n := b.fetch("c", 0); n != 10 {
			b.t.Errorf("after that a member got %d records, want the 10 that the state says", n)
		}
	})
}

func TestSessionsAreCountedAndGoOnStepByStep(t *testing.T) {
	t.Parallel()
	s := newSessions(1, func(SessionKey) {})
	a, b := SessionKey{"g", "a"}, SessionKey{"g", "b"}
	ids := []ID{{Partition: 0}, {Partition: 1}}
	if err := s.Open(t.Context(), a, ids); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), b, nil); !errors.Is(err, kafka.ShareSessionLimitReached) {
		t.Errorf("one session too many: %v, want SHARE_SESSION_LIMIT_REACHED", err)
	}
	if _, err := s.Advance(a, 2, nil, nil); !errors.Is(err, kafka.InvalidShareSessionEpoch) {
		t.Errorf("epoch 2 after 0: %v, want INVALID_SHARE_SESSION_EPOCH", err)
	}
	first, err := s.Advance(a, 1, []ID{{Partition: 2}}, nil)
	second, err2 := s.Advance(a, 2, nil, ids[:1])
	if err != nil || err2 != nil || len(first) != 3 || len(second) != 2 || first[0] == first[1] {
		t.Errorf("partitions %v (%v), then %v (%v), want 3 and then 2", first, err, second, err2)
	}
	if _, err := s.Advance(b, 1, nil, nil); !errors.Is(err, kafka.ShareSessionNotFound) {
		t.Errorf("a session that is not there: %v", err)
	}
}
