package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// Snapshot is what a registry's topic says at one time.
type Snapshot struct {
	State *state.State
	// Settings names the subjects and contexts, "" for everything, that have a mode or a configuration, sorted.
	Settings []string
	// PassedOver tells of records that say nothing to a registry.
	PassedOver []error
}

// mostPassedOver bounds Snapshot.PassedOver.
const mostPassedOver = 100

// ReadTopic reads the topic of a registry, whoever writes it, from its begin to the end that it has now. connect makes clients that may
// read it. It writes nothing. A topic that is not there is an error.
func ReadTopic(ctx context.Context, connect func(more ...kgo.Opt) (*kgo.Client, error), topic string) (*Snapshot, error) {
	l := NewKafkaLog(LogOptions{Connect: connect, Topic: topic, Logger: slog.New(slog.DiscardHandler)})
	defer l.close()
	switch there, err := l.exists(ctx); {
	case err != nil:
		return nil, err
	case !there:
		return nil, fmt.Errorf("the cluster has no topic %s", topic)
	}
	out := &Snapshot{State: state.New()}
	settings := map[string]bool{}
	reading, done := context.WithCancel(ctx)
	defer done()
	apply := func(rec state.Record, offset, timeMs int64) {
		if rec.Key == nil || reading.Err() != nil { // a mark of a transaction, or what was written after the end
			return
		}
		if err := out.State.Apply(rec, timeMs); err != nil {
			if len(out.PassedOver) < mostPassedOver {
				out.PassedOver = append(out.PassedOver, fmt.Errorf("offset %d: %w", offset, err))
			}
			return
		}
		if name, ok := settingOf(rec.Key); ok {
			settings[name] = true
		}
	}
	restart := func() { out.State = state.New() }
	if err := l.Run(reading, apply, restart, done); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for name := range settings {
		if out.State.Config(name) != nil || out.State.Mode(name) != "" {
			out.Settings = append(out.Settings, name)
		}
	}
	slices.Sort(out.Settings)
	return out, nil
}

// settingOf tells whose mode or configuration a record is about.
func settingOf(key []byte) (name string, ok bool) {
	var k struct {
		Kind    string  `json:"keytype"`
		Subject *string `json:"subject"`
	}
	if json.Unmarshal(key, &k) != nil || k.Kind != "CONFIG" && k.Kind != "MODE" {
		return "", false
	}
	if k.Subject != nil {
		name = *k.Subject
	}
	return name, true
}
