package topics

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/terms"
)

// Topic is a topic as it was when its View was made. It must not be changed.
type Topic struct {
	ID         kafka.TopicID
	Name       string
	Partitions int32
	// FirstShard is the shard of partition 0, out of Shards; those after it follow in a circle.
	FirstShard, Shards int32
	Configs            map[string]string // what was set, as it was written; nil for none
	CreatedAt          time.Time

	// Terms are what the topic asks of its records; nil for nothing.
	Terms *terms.Terms

	revision int64          // of its key
	parsed   *config.Values // of Configs
}

// configure gives the topic its configs. It is for a topic that nobody else has seen.
func (t *Topic) configure(parsed *config.Values) {
	t.parsed, t.Terms = parsed, termsOf(t.Name, parsed)
}

// Shard is the shard of a partition. It never changes: a topic remembers how many shards there were when it was made.
func (t *Topic) Shard(partition int32) int32 {
	return int32((int64(t.FirstShard) + int64(partition)) % int64(t.Shards))
}

// firstShard spreads topics over shards by their random ids. It needs nothing but the id, so that what a deleted topic
// left behind can still be placed.
func firstShard(id kafka.TopicID, shards int32) int32 {
	return int32(binary.LittleEndian.Uint32(id[12:]) % uint32(shards))
}

// View is an immutable snapshot of topics and configs.
type View struct {
	// Revision is about that of the metadata store up to which the view is complete. It grows with every view.
	Revision int64

	cat        *catalogue
	byName     []*Topic // sorted by name; an insert copies 8 bytes for each topic, where a map would copy all entries
	byID       []*Topic // sorted by id
	partitions int64    // of all topics

	static *config.Values // as the program was started
	broker *config.Values // static with what was changed while running
	nodeID string
	// Overrides by name: of brokers ("" is the default of all), groups and client-metrics subscriptions.
	brokers, groups, metrics map[string]override
	features                 features
	quotas                   *quotas
}

// override is what was set for a resource.
type override struct {
	texts    map[string]string
	revision int64
}

// ByName finds a topic.
func (v *View) ByName(name string) (*Topic, bool) {
	i, ok := slices.BinarySearchFunc(v.byName, name, func(t *Topic, n string) int { return strings.Compare(t.Name, n) })
	if !ok {
		return nil, false
	}
	return v.byName[i], true
}

// ByID finds a topic.
func (v *View) ByID(id kafka.TopicID) (*Topic, bool) {
	i, ok := slices.BinarySearchFunc(v.byID, id, func(t *Topic, x kafka.TopicID) int { return compareIDs(t.ID, x) })
	if !ok {
		return nil, false
	}
	return v.byID[i], true
}

func compareIDs(a, b kafka.TopicID) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])); c != 0 {
		return c
	}
	return cmp.Compare(binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:]))
}

// All are all topics, sorted by name. The slice must not be changed.
func (v *View) All() []*Topic { return v.byName }

// Partitions is the number of partitions of all topics.
func (v *View) Partitions() int64 { return v.partitions }

// Values are the broker's settings with what was changed while running.
func (v *View) Values() *config.Values { return v.broker }

// LogConfig is what the topic's configs and the broker's settings mean for its logs.
func (v *View) LogConfig(t *Topic) LogConfig { return makeLogConfig(t.parsed, v.broker) }

// GroupConfig are the configs of a group, to be read with the Group keys (GroupConsumerSessionTimeout, ...): its own, else
// the broker's, kept within the broker's limits.
func (v *View) GroupConfig(group string) *config.Values {
	return v.cat.groupValues(v.broker, v.groups[group].texts)
}

// HasGroupConfig tells whether a config of the group itself was set, and its text.
func (v *View) HasGroupConfig(group, name string) (string, bool) {
	text, ok := v.groups[group].texts[name]
	return text, ok
}

// ClientMetrics are the names of all client-metrics subscriptions, sorted.
func (v *View) ClientMetrics() []string { return slices.Sorted(maps.Keys(v.metrics)) }

// SameClientMetrics says whether two views have the same subscriptions.
func (v *View) SameClientMetrics(o *View) bool {
	return maps.EqualFunc(v.metrics, o.metrics, func(a, b override) bool { return a.revision == b.revision })
}

// ClientMetricsConfig are the configs of a subscription, to be read with MetricsInterval, MetricsNames and MetricsMatch.
func (v *View) ClientMetricsConfig(name string) *config.Values {
	values, err := v.cat.metricsSchema.Defaults().With(config.FromDynamicBroker, v.metrics[name].texts)
	if err != nil {
		return v.cat.metricsSchema.Defaults() // cannot happen: loading leaves out what does not parse
	}
	return values
}

// GroupsWithConfigs are the names of all groups that have configs, sorted.
func (v *View) GroupsWithConfigs() []string { return slices.Sorted(maps.Keys(v.groups)) }

// withTopic is the view with t added, or in place of the topic of its name.
func (v *View) withTopics(added ...*Topic) *View {
	next := *v
	next.byName, next.byID = slices.Clone(v.byName), slices.Clone(v.byID)
	for _, t := range added {
		if i, ok := slices.BinarySearchFunc(next.byName, t.Name, func(x *Topic, n string) int { return strings.Compare(x.Name, n) }); ok {
			next.drop(next.byName[i])
		}
		i, _ := slices.BinarySearchFunc(next.byName, t.Name, func(x *Topic, n string) int { return strings.Compare(x.Name, n) })
		next.byName = slices.Insert(next.byName, i, t)
		i, _ = slices.BinarySearchFunc(next.byID, t.ID, func(x *Topic, id kafka.TopicID) int { return compareIDs(x.ID, id) })
		next.byID = slices.Insert(next.byID, i, t)
		next.partitions += int64(t.Partitions)
	}
	return &next
}

func (v *View) withoutTopics(removed ...*Topic) *View {
	next := *v
	next.byName, next.byID = slices.Clone(v.byName), slices.Clone(v.byID)
	for _, t := range removed {
		next.drop(t)
	}
	return &next
}

// drop is for a view that nobody else has seen.
func (v *View) drop(t *Topic) {
	same := func(x *Topic) bool { return x == t }
	v.byName = slices.DeleteFunc(v.byName, same)
	v.byID = slices.DeleteFunc(v.byID, same)
	v.partitions -= int64(t.Partitions)
}

// withOverride is the view with the configs of a broker, group or subscription replaced; none takes them away.
func (v *View) withOverride(r Resource, texts map[string]string, revision int64) *View {
	next := *v
	table := map[ResourceType]*map[string]override{Broker: &next.brokers, Group: &next.groups, ClientMetrics: &next.metrics}[r.Type]
	*table = maps.Clone(*table)
	if *table == nil {
		*table = map[string]override{}
	}
	if len(texts) == 0 {
		delete(*table, r.Name)
	} else {
		(*table)[r.Name] = override{texts, revision}
	}
	if r.Type == Broker {
		next.layBroker()
	}
	return &next
}

// layBroker lays the overrides of all brokers and of this one over the static settings. What this program does not
// know, or does not take any more, stays stored and without effect.
func (v *View) layBroker() {
	v.settleInsync()
	v.broker = v.static
	for _, layer := range []struct {
		origin config.Origin
		texts  map[string]string
	}{{config.FromDynamicDefault, v.brokers[""].texts}, {config.FromDynamicBroker, v.brokers[v.nodeID].texts}} {
		fit := make(map[string]string, len(layer.texts))
		for name, text := range layer.texts {
			if s, ok := v.static.Schema().Lookup(name); ok && s.Mode() != config.ReadOnly {
				if _, err := s.Parse(text); err == nil {
					fit[name] = text
				}
			}
		}
		next, err := v.broker.With(layer.origin, fit)
		if err == nil { // always: each text was parsed
			v.broker = next
		}
	}
}

// settleInsync gives min.insync.replicas a default of the cluster where none was set, as Kafka does when it forms a cluster
// with eligible leader replicas (KIP-966). It is not stored.
func (v *View) settleInsync() {
	name := MinInsyncReplicas.Name()
	all := v.brokers[""]
	text, _, ok := v.static.Text(name)
	if _, set := all.texts[name]; set || !ok {
		return
	}
	texts := maps.Clone(all.texts)
	if texts == nil {
		texts = map[string]string{}
	}
	texts[name] = text
	v.brokers = maps.Clone(v.brokers)
	v.brokers[""] = override{texts, all.revision}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// setTopics is for a view that nobody else has seen.
func (v *View) setTopics(all []*Topic) {
	v.byName, v.byID, v.partitions = all, slices.Clone(all), 0
	slices.SortFunc(v.byName, func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(v.byID, func(a, b *Topic) int { return compareIDs(a.ID, b.ID) })
	for _, t := range all {
		v.partitions += int64(t.Partitions)
	}
}
