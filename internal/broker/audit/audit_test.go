package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
)

// memory is a topic in memory that can be made to fail.
type memory struct {
	mu     sync.Mutex
	values [][]byte
	fails  error
}

func (m *memory) Last(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil || len(m.values) == 0 {
		return nil, m.fails
	}
	return m.values[len(m.values)-1], nil
}

func (m *memory) Append(_ context.Context, values [][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails == nil {
		m.values = append(m.values, values...)
	}
	return m.fails
}

// movingTopic is a topic whose partition another broker has, and writes to, before the first write after each move.
type movingTopic struct {
	memory
	other *Log // of the other broker, which writes itself
	moved bool
}

func (m *movingTopic) Append(ctx context.Context, values [][]byte) error {
	if m.moved {
		m.moved = false
		m.other.moved = true
		if err := m.other.try(ctx, []*auditevent.Event{m.other.lostEvent(1)}); err != nil {
			return err
		}
		return fmt.Errorf("write: %w", ErrMoved)
	}
	return m.memory.Append(ctx, values)
}

func TestTheChainGoesOnBehindOtherBrokers(t *testing.T) {
	t.Parallel()
	m := &movingTopic{}
	m.other = newLog(&m.memory, 1)
	l := newLog(&m.memory, 1)
	l.o.Topic = m
	for i := range 6 {
		m.moved = i%2 == 1
		err := l.try(t.Context(), []*auditevent.Event{l.lostEvent(1)})
		if moved := i%2 == 1; moved {
			if !errors.Is(err, ErrMoved) {
				t.Fatalf("write after a move: %v", err)
			}
			err = l.try(t.Context(), []*auditevent.Event{l.lostEvent(1)})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.events(t)); n != 9 {
		t.Errorf("%d events in the chain, want 9", n)
	}
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = err
}

// events verifies the chain and returns its events.
func (m *memory) events(t *testing.T) []auditevent.Event {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var v auditevent.Verifier
	var out []auditevent.Event
	for i, value := range m.values {
		e, err := v.Check(value)
		if err != nil {
			t.Fatalf("event %d: %v: %s", i, err, value)
		}
		out = append(out, e)
	}
	return out
}

func newLog(m *memory, queue int, c ...Category) *Log {
	return New(Options{Topic: m, Source: "weir://c/broker/1", Scope: "c", Categories: c, QueueEvents: queue, Now: func() time.Time { return time.Unix(1, 0) }})
}

func value(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// running runs a log until the returned stop.
func running(t *testing.T, l *Log) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, func() {}) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func request(c Category, decisions ...Decision) *Request {
	return &Request{Client: Client{Principal: auth.Anonymous, Address: "10.0.0.1", ClientID: "app"}, API: "CreateTopics", Category: c, CorrelationID: 7, Decisions: decisions}
}

func decided(allowed bool, reason acl.Reason, name string) Decision {
	return Decision{Decision: acl.Decision{Allowed: allowed, Reason: reason, By: &acl.Binding{Type: acl.Topic, Pattern: acl.Literal, Name: name, Principal: "User:*", Host: "*", Operation: acl.Create, Permission: acl.Allow}}, Operation: auth.Create, Type: auth.Topic, Name: name}
}

func TestARequestIsOneEventOfTheShapeThatToolsKnow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := newLog(m, 10, Management, Denied)
		stop := running(t, l)
		l.Request(request(Management, decided(true, acl.ByAllow, "a"), decided(false, acl.ByNoMatch, "b")))
		l.Request(request(Management, decided(true, acl.BySuperUser, "a")))
		l.Request(request(Produce, decided(true, acl.ByAllow, "a")))
		l.Request(request(Produce, decided(false, acl.ByDeny, "a")))
		l.Request(request(Management))
		stop()
		got := m.events(t)
		if len(got) != 3 {
			t.Fatalf("got %d events, want 3: %+v", len(got), got)
		}
		e := got[0]
		if e.Data.MethodName != "kafka.CreateTopics" || e.Data.Category != "denied" || e.Data.Authorization.Granted || e.Data.Authorization.ResourceName != "b" || len(e.Data.Decisions) != 2 {
			t.Errorf("got %+v", e)
		}
		if !got[1].Data.Authorization.SuperUser || got[2].Data.Authorization.ACL == nil {
			t.Errorf("got %+v and %+v", got[1].Data.Authorization, got[2].Data.Authorization)
		}
		var generic map[string]any
		if err := json.Unmarshal(m.values[0], &generic); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"specversion", "id", "source", "type", "time", "data"} {
			if generic[field] == nil {
				t.Errorf("the event has no %s: %s", field, m.values[0])
			}
		}
	})
}

func TestTheChainGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		for range 3 {
			l := newLog(m, 10, Management)
			stop := running(t, l)
			l.Request(request(Management, decided(true, acl.ByAllow, "a")))
			l.Request(request(Management, decided(true, acl.ByAllow, "b")))
			stop()
		}
		if got := m.events(t); len(got) != 6 || got[5].Sequence != 6 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestWhatDoesNotFitIsCountedAndTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := newLog(m, 2, Management)
		for range 5 { // nobody writes yet
			l.Request(request(Management, decided(true, acl.ByAllow, "a")))
		}
		if got := value(t, l.metrics.dropped); got != 3 {
			t.Errorf("counted %v dropped events, want 3", got)
		}
		running(t, l)()
		got := m.events(t)
		if len(got) != 3 || got[0].Type != auditevent.TypeLost || got[0].Data.Lost != 3 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAFailedWriteIsTriedAgainAndLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := newLog(m, 10, Management)
		stop := running(t, l)
		l.Request(request(Management, decided(true, acl.ByAllow, "a")))
		synctest.Wait()
		m.fail(errors.New("disk full"))
		for range 3 {
			l.Request(request(Management, decided(true, acl.ByAllow, "b")))
		}
		<-time.After(3 * time.Second) // in the bubble: the pauses between tries go by
		if len(m.events(t)) != 1 || value(t, l.metrics.failures) < 3 {
			t.Errorf("got %d events and %v failures", len(m.events(t)), value(t, l.metrics.failures))
		}
		m.fail(nil)
		<-time.After(10 * time.Second)
		if got := m.events(t); len(got) != 4 {
			t.Errorf("got %d events, want 4", len(got))
		}
		stop()
	})
}

func TestNamesThatClientsChooseAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := newLog(m, 10, Management)
		stop := running(t, l)
		r := request(Management)
		r.ClientID = strings.Repeat("\xff", 30_000)
		for range 1000 {
			r.Decisions = append(r.Decisions, decided(true, acl.ByAllow, strings.Repeat("x", 30_000)))
		}
		l.Request(r)
		stop()
		got := m.events(t)
		if len(got) != 1 || len(m.values[0]) > 100_000 || got[0].Data.Omitted != 950 {
			t.Errorf("got %d events, the first of %d bytes", len(got), len(m.values[0]))
		}
	})
}

func TestAuthenticationsTellWhoAndNotHow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := newLog(m, 10, Authentications)
		stop := running(t, l)
		l.Authentication(&Authentication{Client: Client{Principal: auth.Principal{Type: "User", Name: "alice"}, Address: "10.0.0.1", Listener: "SASL"}, Mechanism: "PLAIN", Reason: "wrong password"})
		stop()
		got := m.events(t)
		if len(got) != 1 || got[0].Type != auditevent.TypeAuthentication || *got[0].Data.Authentication.Granted || got[0].Data.Authentication.Mechanism != "PLAIN" {
			t.Errorf("got %+v", got)
		}
		var none *Log
		none.Authentication(&Authentication{})
		none.Request(request(Management))
	})
}
