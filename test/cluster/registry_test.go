//go:build clusterchaos && linux

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// Three brokers run a registry each, over one topic. What one acknowledges the others show with the next request, and hold producers to; when the one that writes is
// killed in the middle of registrations, the others go on with what it has acknowledged, and no id is given twice.
func TestRegistriesOfAClusterAgree(t *testing.T) {
	c := start(t, 3, append(restless(), "--set", "cluster.lease.ms=2000")...)
	r := &registries{nodes: c, byID: map[int]string{}}
	r.evolve()
	r.refuse()
	r.killWriter()
}

// registries are those of a cluster, and what they have acknowledged.
type registries struct {
	*nodes

	mu    sync.Mutex
	acked []registeredSchema
	byID  map[int]string
}

type registeredSchema struct {
	Subject, Schema string
	ID, Version     int
}

// at is the address of a broker's registry.
func at(b *node) string { return "http://" + b.broker.Addresses["registry"] }

// ask sends a request to the registry of a broker. An error says that there was no answer.
func ask(ctx context.Context, b *node, method, path string, body any) (status int, answer []byte, err error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, at(b)+path, sent)
	if err != nil {
		return 0, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// register registers a schema and notes it. The error wraps errGone if nobody answered, or only that it cannot be done now.
func (r *registries) register(b *node, subject, text string) (registeredSchema, error) {
	status, answer, err := ask(r.t.Context(), b, http.MethodPost, "/subjects/"+subject+"/versions", map[string]string{"schema": text})
	if err != nil {
		return registeredSchema{}, fmt.Errorf("%w: %w", errGone, err)
	}
	if status/100 == 5 {
		return registeredSchema{}, fmt.Errorf("%w: %d %s", errGone, status, answer)
	}
	if status != http.StatusOK {
		return registeredSchema{}, fmt.Errorf("broker %d: %d %s", b.id, status, answer)
	}
	out := registeredSchema{Subject: subject, Schema: text}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, err
	}
	out.Schema = text
	r.remember(out)
	return out, nil
}

var errGone = errors.New("the registry is gone")

func (r *registries) remember(s registeredSchema) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked = append(r.acked, s)
	if old, ok := r.byID[s.ID]; ok && old != s.Schema {
		r.t.Errorf("id %d was given for %s and for %s", s.ID, old, s.Schema)
	}
	r.byID[s.ID] = s.Schema
}

func (r *registries) mustRegister(b *node, subject, text string) registeredSchema {
	r.t.Helper()
	s, err := r.register(b, subject, text)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// shown demands that a broker's registry has a schema, by its id and by its version.
func (r *registries) shown(b *node, s registeredSchema) {
	r.t.Helper()
	for _, path := range []string{fmt.Sprintf("/subjects/%s/versions/%d/schema", s.Subject, s.Version), fmt.Sprintf("/schemas/ids/%d/schema", s.ID)} {
		if status, got, err := ask(r.t.Context(), b, http.MethodGet, path, nil); err != nil || status != http.StatusOK || string(got) != s.Schema {
			r.t.Errorf("broker %d, %s: got %d %s, %v, want %s", b.id, path, status, got, err, s.Schema)
		}
	}
}

// Schemas of records {item string}, then with a count.
const (
	firstOrder  = `{"type":"record","name":"Order","fields":[{"name":"item","type":"string"}]}`
	secondOrder = `{"type":"record","name":"Order","fields":[{"name":"item","type":"string"},{"name":"count","type":"int","default":1}]}`
	otherOrder  = `{"type":"record","name":"Order","fields":[{"name":"item","type":"long"}]}`
)

// evolve registers versions by one instance after the other.
func (r *registries) evolve() {
	r.t.Helper()
	for i, text := range []string{firstOrder, secondOrder} {
		s := r.mustRegister(r.all[i], "orders-value", text)
		for _, b := range r.all {
			r.shown(b, s)
			if status, got, err := ask(r.t.Context(), b, http.MethodGet, "/subjects/orders-value/versions/latest/schema", nil); err != nil || status != http.StatusOK || string(got) != text {
				r.t.Errorf("broker %d takes %s for the latest (%d, %v), want %s", b.id, got, status, err, text)
			}
		}
	}
	for _, b := range r.all {
		if s, err := r.register(b, "orders-value", otherOrder); err == nil || errors.Is(err, errGone) {
			r.t.Errorf("broker %d on a schema that is not compatible: %+v, %v", b.id, s, err)
		}
	}
	r.nodes.note("versions are registered")
}

// refuse produces by both versions, and what they forbid, to partitions of every broker.
func (r *registries) refuse() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.all[0].addr, r.all[1].addr, r.all[2].addr), kgo.DefaultProduceTopic("orders"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	if _, err := adm.CreateTopic(ctx, everyShard, 1, map[string]*string{"weir.contract.mode": new("reject")}, "orders"); err != nil {
		r.t.Fatal(err)
	}
	value := func(s int, payload ...byte) []byte {
		return append(wireformat.Append(nil, wireformat.ID{Number: s}), payload...)
	}
	first, second := r.acked[0].ID, r.acked[1].ID
	tried := map[int32]bool{}
	for ; len(tried) < len(r.all); r.rest(20 * time.Millisecond) { // until each broker leads some of the partitions
		topics, err := adm.ListTopics(ctx, "orders")
		if err != nil {
			r.t.Fatal(err)
		}
		for _, p := range topics["orders"].Partitions {
			if p.Leader < 0 || tried[p.Leader] {
				continue
			}
			tried[p.Leader] = true
			for _, good := range [][]byte{value(first, 2, 'x'), value(second, 2, 'x', 4)} {
				if err := client.ProduceSync(ctx, &kgo.Record{Partition: p.Partition, Value: good}).FirstErr(); err != nil {
					r.t.Errorf("broker %d refuses %x: %v", p.Leader, good, err)
				}
			}
			for _, bad := range [][]byte{value(first, 2, 'x', 4), value(second, 2, 'x'), value(1000), []byte("no schema")} {
				if err := client.ProduceSync(ctx, &kgo.Record{Partition: p.Partition, Value: bad}).FirstErr(); !errors.Is(err, kerr.InvalidRecord) {
					r.t.Errorf("broker %d on %x: %v, want %v", p.Leader, bad, err, kerr.InvalidRecord)
				}
			}
		}
	}
	r.nodes.note("contracts hold")
}

// killWriter kills the broker that all registrations go to, while they do. Their clients turn to the others.
func (r *registries) killWriter() {
	r.t.Helper()
	const workers, each, before = 4, 6, 8
	victim, others := r.all[0], r.all[1:]
	enough := make(chan struct{}, workers*each)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			use := victim
			for k := range each {
				subject, text := fmt.Sprintf("s%d-%d", w, k), fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, 1+w*each+k)
				for {
					_, err := r.register(use, subject, text)
					if err == nil {
						enough <- struct{}{}
						break
					}
					if !errors.Is(err, errGone) || pause(r.t.Context(), 50*time.Millisecond) != nil {
						r.t.Error(err)
						return
					}
					use = others[w%len(others)]
				}
			}
		})
	}
	for range before {
		<-enough
	}
	victim.broker.Kill()
	r.nodes.note("the writer is killed")
	wg.Wait()
	r.nodes.note("all is registered")
	r.agree(others)
	r.restart(victim)
	r.agree(r.all)
}

// agree demands that brokers show all that was acknowledged, and that no id stands for two schemas.
func (r *registries) agree(brokers []*node) {
	r.t.Helper()
	for _, b := range brokers {
		status, got, err := ask(r.t.Context(), b, http.MethodGet, "/schemas", nil)
		var listed []registeredSchema
		if err = errors.Join(err, json.Unmarshal(got, &listed)); err != nil || status != http.StatusOK {
			r.t.Fatalf("broker %d: %d %s, %v", b.id, status, got, err)
		}
		byID, there := map[int]string{}, map[registeredSchema]bool{}
		for _, s := range listed {
			if old, ok := byID[s.ID]; ok && old != s.Schema {
				r.t.Errorf("broker %d: id %d stands for %s and %s", b.id, s.ID, old, s.Schema)
			}
			byID[s.ID], there[s] = s.Schema, true
		}
		for _, s := range r.acked {
			if !there[s] {
				r.t.Errorf("broker %d does not show %+v, which was acknowledged", b.id, s)
			}
		}
	}
}
