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
	out := &Snapshot{State: state.New()}
	settings := map[string]bool{}
	there, err := ReadRecords(ctx, connect, topic, func(rec state.Record, offset, timeMs int64) {
		if err := out.State.Apply(rec, timeMs); err != nil {
			if len(out.PassedOver) < mostPassedOver {
				out.PassedOver = append(out.PassedOver, fmt.Errorf("offset %d: %w", offset, err))
			}
			return
		}
		if name, ok := settingOf(rec.Key); ok {
			settings[name] = true
		}
	}, func() { out.State = state.New() })
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("the cluster has no topic %s", topic)
	}
	for name := range settings {
		if out.State.Config(name) != nil || out.State.Mode(name) != "" {
			out.Settings = append(out.Settings, name)
		}
	}
	slices.Sort(out.Settings)
	return out, nil
}

// ReadRecords hands the records of a topic of one partition to apply, from its begin to the end that it has now, without marks of transactions. After restart what
// came before is void. There is false for a topic that is not there.
func ReadRecords(ctx context.Context, connect func(more ...kgo.Opt) (*kgo.Client, error), topic string, apply func(rec state.Record, offset, timeMs int64), restart func()) (there bool, err error) {
	l := NewKafkaLog(LogOptions{Connect: connect, Topic: topic, Logger: slog.New(slog.DiscardHandler)})
	defer l.close()
	if there, err := l.exists(ctx); err != nil || !there {
		return false, err
	}
	reading, done := context.WithCancel(ctx)
	defer done()
	err = l.Run(reading, func(rec state.Record, offset, timeMs int64) {
		if rec.Key != nil && reading.Err() == nil { // no mark of a transaction, and not written after the end
			apply(rec, offset, timeMs)
		}
	}, restart, done)
	if err == nil {
		err = ctx.Err()
	}
	return true, err
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
