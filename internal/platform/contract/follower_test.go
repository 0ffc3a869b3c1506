package contract

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/weir-stream/weir/internal/platform/registry"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema/formats"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// script is a topic that shows its next records when somebody asks for its end.
type script struct {
	registry.Log

	mu      sync.Mutex
	records []state.Record
	grown   chan struct{}
	runs    int
}

func (s *script) add(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := state.Record{Key: []byte(key)}
	if value != "" {
		r.Value = []byte(value)
	}
	s.records = append(s.records, r)
	close(s.grown)
	s.grown = make(chan struct{})
}

func (s *script) Run(ctx context.Context, apply func(state.Record, int64, int64), _, loaded func()) error {
	s.mu.Lock()
	s.runs++
	s.mu.Unlock()
	for next := 0; ; {
		s.mu.Lock()
		some, grown := s.records[next:], s.grown
		s.mu.Unlock()
		for _, r := range some {
			apply(r, int64(next), 0)
			next++
		}
		loaded()
		select {
		case <-grown:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *script) End(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.records)), nil
}

// followed starts a follower of a topic.
func followed(t *testing.T, alone bool) (*Follower, *script) {
	t.Helper()
	topic := &script{grown: make(chan struct{})}
	r := registry.New(registry.Options{Log: topic, Formats: formats.Of, Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	f := Follow(r)
	if alone {
		f = NewFollower(r)
	} else {
		wg.Go(func() { _ = r.Run(ctx, func() {}) }) // the script cannot fail
	}
	wg.Go(func() { _ = f.Run(ctx, func() {}) })
	return f, topic
}

func (f *Follower) describe() string {
	var out []string
	for id := range int32(10) {
		if r, ok := f.ByID(id); ok {
			out = append(out, fmt.Sprintf("%d %s %s %v", r.ID, r.Type, r.Source.Text, r.Subjects))
		}
	}
	return strings.Join(out, "; ")
}

func TestFollowerSeesTheTopicOfTheRegistry(t *testing.T) {
	t.Parallel()
	f, topic := followed(t, false)
	for _, step := range []struct{ key, value, want string }{
		{`{"keytype":"NOOP","magic":0}`, "", ""},
		{`{"keytype":"CONFIG","subject":null,"magic":0}`, `{"compatibilityLevel":"FULL"}`, ""},
		{`{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}`, `{"subject":"a","version":1,"id":1,"schema":"A","deleted":false,"md5":"CQAAAAAAAAAAAAAAAAAAAA=="}`, "1 AVRO A [a]"},
		{`{"keytype":"SCHEMA","subject":"b","version":1,"magic":1}`, `{"subject":"b","version":1,"id":1,"schema":"A","deleted":false}`, "1 AVRO A [a b]"},
		{`{"keytype":"SCHEMA","subject":"b","version":2,"magic":1}`, `{"subject":"b","version":2,"id":2,"schema":"B","schemaType":"JSON","references":[{"name":"r","subject":"a","version":1}],"deleted":false}`, "1 AVRO A [a b]; 2 JSON B [b]"},
		{`{"keytype":"SCHEMA","subject":":.x:c","version":1,"magic":1}`, `{"subject":":.x:c","version":1,"id":1,"schema":"X","deleted":false}`, "1 AVRO A [a b]; 2 JSON B [b]"},
		{`{"keytype":"SCHEMA","subject":":.:d","version":1,"magic":1}`, `{"subject":":.:d","version":1,"id":3,"schema":"D","deleted":false}`, "1 AVRO A [a b]; 2 JSON B [b]; 3 AVRO D [d]"},
		{`{"keytype":"SCHEMA","subject":"b","version":1,"magic":1}`, `{"subject":"b","version":1,"id":1,"schema":"A","deleted":true}`, "1 AVRO A [a]; 2 JSON B [b]; 3 AVRO D [d]"},
		{`{"keytype":"DELETE_SUBJECT","subject":"b","magic":0}`, `{"subject":"b","version":2}`, "1 AVRO A [a]; 2 JSON B []; 3 AVRO D [d]"},
		{`{"keytype":"SCHEMA","subject":"b","version":3,"magic":1}`, `{"subject":"b","version":3,"id":2,"schema":"B","schemaType":"JSON","deleted":false}`, "1 AVRO A [a]; 2 JSON B [b]; 3 AVRO D [d]"},
		{`{"keytype":"CLEAR_SUBJECT","subject":"b","magic":0}`, `{"subject":"b"}`, "1 AVRO A [a]; 2 JSON B [b]; 3 AVRO D [d]"},
		{`{"keytype":"SCHEMA","subject":"b","version":3,"magic":1}`, "", "1 AVRO A [a]; 3 AVRO D [d]"},
		{`{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}`, "", "3 AVRO D [d]"},
	} {
		before := f.Revision()
		topic.add(step.key, step.value)
		if err := f.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.describe(); got != step.want {
			t.Errorf("after %s: got %q, want %q", step.key, got, step.want)
		}
		if grown := f.Revision() > before; !grown && !strings.Contains(step.key, "NOOP") {
			t.Errorf("after %s: the revision stays at %d", step.key, before)
		}
		_, byID := f.ByID(1)
		if _, ok := f.ByGUID(wireformat.GUID{9}); ok != byID {
			t.Errorf("after %s: the GUID is known: %v", step.key, ok)
		}
	}
}

func TestReferencesAreResolvedThroughAll(t *testing.T) {
	t.Parallel()
	f, topic := followed(t, false)
	topic.add(`{"keytype":"SCHEMA","subject":"a","version":1}`, `{"id":1,"schema":"text a"}`)
	topic.add(`{"keytype":"SCHEMA","subject":"b","version":1}`, `{"id":2,"schema":"text b","references":[{"name":"a.ref","subject":"a","version":1}]}`)
	topic.add(`{"keytype":"SCHEMA","subject":"c","version":1}`, `{"id":3,"schema":"text c","references":[{"name":"b.ref","subject":"b","version":1},{"name":"gone","subject":"z","version":1}]}`)
	if err := f.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, ok := f.ByID(3)
	if !ok || len(r.Source.Resolved) != 2 || r.Source.Resolved["b.ref"] != "text b" || r.Source.Resolved["a.ref"] != "text a" {
		t.Errorf("got %+v", r.Source)
	}
}

func TestFollowerOfItsOwnReadsNothingBeforeItIsAsked(t *testing.T) {
	t.Parallel()
	f, topic := followed(t, true)
	topic.add(`{"keytype":"SCHEMA","subject":"a","version":1}`, `{"id":1,"schema":"A"}`)
	if _, ok := f.ByID(1); ok || f.Revision() != -1 {
		t.Error("it knows what it has not read")
	}
	topic.mu.Lock()
	runs := topic.runs
	topic.mu.Unlock()
	if runs != 0 {
		t.Error("it reads before anybody asked")
	}
	if err := f.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, ok := f.ByID(1); !ok || r.Source.Text != "A" || f.Revision() < 0 {
		t.Errorf("got %+v, revision %d", r, f.Revision())
	}
}
