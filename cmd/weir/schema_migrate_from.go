package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/base/properties"
	"github.com/weir-stream/weir/internal/cli/registryclient"
	"github.com/weir-stream/weir/internal/kafka/client"
	"github.com/weir-stream/weir/internal/platform/registry"
	"github.com/weir-stream/weir/internal/platform/registry/dek"
	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// schemaOrigin is where schemas are copied from.
type schemaOrigin interface {
	// versions lists all of all contexts, soft-deleted ones too.
	versions(ctx context.Context) ([]subjectVersion, error)
	// setting reads /config or /mode of a subject, of a context, or of everything; nil if it has none of its own.
	setting(ctx context.Context, kind, name string) (map[string]json.RawMessage, error)
	// settings names what has settings of its own, as far as that can be listed.
	settings() []string
	// associations lists those of subjects, and keys all keys of field encryption.
	associations(ctx context.Context, subjects []string) ([]association, error)
	keys(ctx context.Context) (keySet, error)
}

func (r registryAt) versions(ctx context.Context) ([]subjectVersion, error) {
	return r.all(ctx, allContexts, true, false)
}

func (r registryAt) setting(ctx context.Context, kind, name string) (map[string]json.RawMessage, error) {
	var value map[string]json.RawMessage
	err := r.call(ctx, http.MethodGet, settingPath(kind, name), nil, nil, &value)
	if hasCode(err, 40408, 40409, 40401) {
		return nil, nil
	}
	return value, err
}

func (registryAt) settings() []string { return nil }

// topicOrigin is the topic of a registry, which need not run, and the one that it keeps keys in.
type topicOrigin struct {
	*registry.Snapshot
	Keys *dek.Keys
}

func (o topicOrigin) versions(context.Context) ([]subjectVersion, error) {
	var out []subjectVersion
	for _, subject := range o.State.Subjects(allContexts, state.All) {
		for _, v := range o.State.Versions(subject, state.All) {
			out = append(out, subjectVersion{
				Subject: v.Subject, Version: v.Version, ID: v.ID, GUID: v.GUID.String(), Type: v.Type, References: v.References, Metadata: v.Metadata, RuleSet: v.RuleSet, Schema: v.Text.String(), Deleted: v.Deleted,
			})
		}
	}
	return out, nil
}

func (o topicOrigin) setting(_ context.Context, kind, name string) (map[string]json.RawMessage, error) {
	var v any
	if c := o.State.Config(name); kind == "/config" && c != nil {
		v = c
	} else if m := o.State.Mode(name); kind == "/mode" && m != "" {
		v = map[string]state.Mode{"mode": m}
	} else {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var value map[string]json.RawMessage
	return value, json.Unmarshal(b, &value)
}

func (o topicOrigin) settings() []string { return o.Settings }

// openOrigin finds out where to copy from.
func (s *session) openOrigin(ctx context.Context, o migrateOptions) (schemaOrigin, error) {
	if o.topic != "" || o.bootstrap != "" || o.kafkaConfig != "" {
		if o.from != "" {
			return nil, usageErrorf("copy from a registry (--from) or from a topic (--from-topic, --from-bootstrap), not from both")
		}
		return s.openTopicOrigin(ctx, o)
	}
	if o.from == "" {
		return nil, usageErrorf("name the old registry with --from URL, or its topic with --from-bootstrap HOST:PORT")
	}
	props, err := s.settings()
	if err != nil {
		return nil, err
	}
	old, err := registryclient.New(registryclient.Options{URLs: strings.Split(o.from, ","), Properties: props, UserAgent: "weir/" + readBuildInfo().Version})
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	return registryAt{old}, nil
}

// openTopicOrigin reads the topic, of the cluster that the flags name or else of that of all commands.
func (s *session) openTopicOrigin(ctx context.Context, o migrateOptions) (schemaOrigin, error) {
	connect := s.client
	if o.bootstrap != "" || o.kafkaConfig != "" {
		props := map[string]string{}
		if o.kafkaConfig != "" {
			var err error
			if props, err = properties.Load(o.kafkaConfig); err != nil {
				return nil, withFix(err, "name the client.properties file of the old cluster with --from-config")
			}
		}
		seeds := strings.Split(cmp.Or(o.bootstrap, props["bootstrap.servers"], defaultBootstrap), ",")
		maps.DeleteFunc(props, func(name, _ string) bool { return registryclient.IsProperty(name) || name == "bootstrap.servers" })
		connect = func(extra ...kgo.Opt) (*kgo.Client, error) {
			cl, err := client.New(client.Options{Bootstrap: seeds, Properties: props, SoftwareName: "weir", SoftwareVersion: readBuildInfo().Version}, extra...)
			if err != nil {
				return nil, usageErrorf("%v", err)
			}
			return cl, nil
		}
	}
	topic := cmp.Or(o.topic, "_schemas")
	found, err := registry.ReadTopic(ctx, connect, topic)
	if err != nil {
		return nil, withFix(fmt.Errorf("read the schemas in %s: %w", topic, err), "name the old cluster with --from-bootstrap, its logins with --from-config, and the topic with --from-topic")
	}
	for _, err := range found.PassedOver {
		s.progressf("passed over a record of %s: %v", topic, err)
	}
	keys := dek.NewKeys()
	if o.bootstrap != "" || o.kafkaConfig != "" { // in the own cluster they are the new registry's
		_, err = registry.ReadRecords(ctx, connect, dek.Topic, func(rec state.Record, _, timeMs int64) {
			if err := keys.Apply(rec.Key, rec.Value, time.UnixMilli(timeMs)); err != nil {
				s.progressf("passed over a record of %s: %v", dek.Topic, err)
			}
		}, func() { keys = dek.NewKeys() })
		if err != nil {
			return nil, fmt.Errorf("read the keys in %s: %w", dek.Topic, err)
		}
	}
	return topicOrigin{found, keys}, nil
}
