package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// TestSeveralRegistriesServeOneTopic: three instances over one topic, the broker's own and two alone, are all written to at once. Nobody is
// refused, no id is given twice, and what one has acknowledged the others show, with the next request.
func TestSeveralRegistriesServeOneTopic(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir())
	all := []*server{s}
	for range 2 {
		all = append(all, mustStart(t, t.TempDir(), "roles=registry", "bootstrap.servers="+s.Addresses()["kafka"]))
	}
	const each = 12
	var mu sync.Mutex
	byID := map[int]string{}
	var wg sync.WaitGroup
	for i, in := range all {
		wg.Go(func() {
			for k := range each {
				text := fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, 1+i*each+k)
				subject := fmt.Sprintf("s%d-%d", i, k)
				status, id := register(t, in, "", subject, text)
				if status != 200 {
					t.Errorf("instance %d, schema %d: %d", i, k, status)
					continue
				}
				mu.Lock()
				if old, ok := byID[id]; ok {
					t.Errorf("id %d stands for %s and %s", id, old, text)
				}
				byID[id] = text
				mu.Unlock()
				other := all[(i+1)%len(all)]
				if status, got := other.ask(t, "", "GET", "/subjects/"+subject+"/versions/latest/schema", ""); status != 200 || got != text {
					t.Errorf("the instance beside says %d %s, want %s", status, got, text)
				}
				if status, got := other.ask(t, "", "GET", fmt.Sprintf("/schemas/ids/%d/schema", id), ""); status != 200 || got != text {
					t.Errorf("the instance beside says %d %s of id %d, want %s", status, got, id, text)
				}
			}
		})
	}
	wg.Wait()
	for _, in := range all {
		var subjects []string
		if _, body := in.ask(t, "", "GET", "/subjects", ""); json.Unmarshal([]byte(body), &subjects) != nil || len(subjects) != len(all)*each {
			t.Errorf("got %d subjects, want %d", len(subjects), len(all)*each)
		}
	}
}

// TestContractsFindSchemasInEveryLayout: a contract knows what has just been registered, where the registry is part of the broker's process
// and where it is not, inside of the process and over the listener of brokers.
func TestContractsFindSchemasInEveryLayout(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{
		"with a registry":                        nil,
		"without":                                {"roles=broker"},
		"with a registry, beside other brokers":  {"cluster.listen=127.0.0.1:0"},
		"without, beside other brokers":          {"roles=broker", "cluster.listen=127.0.0.1:0"},
		"with a registry and a topic of its own": {"registry.topic=_registered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mustStart(t, t.TempDir(), settings...)
			registry := s
			if s.Addresses()["registry"] == "" {
				registry = mustStart(t, t.TempDir(), "roles=registry", "bootstrap.servers="+s.Addresses()["kafka"])
			}
			contractTopic(t, s, "orders", "reject")
			cl := s.client(t, kgo.DefaultProduceTopic("orders"))
			unknown := func(id int) {
				t.Helper()
				if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: wireformat.Append(nil, wireformat.ID{Number: id})}).FirstErr(); !errors.Is(err, kerr.InvalidRecord) {
					t.Errorf("id %d, which is not there: %v", id, err)
				}
			}
			unknown(8)
			for k := range 3 {
				text := orderSchema
				if k > 0 {
					text = fmt.Sprintf(`{"type":"record","name":"Order","fields":[{"name":"item","type":"string"},{"name":"count","type":"int"},{"name":"more%d","type":"int","default":0}]}`, k)
				}
				if status, id := register(t, registry, "", "orders-value", text); status != 200 || id != k+1 {
					t.Fatalf("got %d, id %d", status, id)
				}
				value := append(wireformat.Append(nil, wireformat.ID{Number: k + 1}), order("tea", 1)[5:]...)
				if k > 0 {
					value = append(value, 2)
				}
				if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: value}).FirstErr(); err != nil {
					t.Errorf("schema %d, which was registered a moment ago: %v", k+1, err)
				}
			}
			unknown(9)
		})
	}
}
