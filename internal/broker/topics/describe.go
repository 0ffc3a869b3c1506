package topics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
)

// Source tells where a config's value comes from, with Kafka's numbers.
type Source int8

// The sources.
const (
	FromTopic         Source = 1
	FromBroker        Source = 2
	FromBrokerDefault Source = 3
	FromStart         Source = 4
	FromDefault       Source = 5
	FromLogger        Source = 6
	FromClientMetrics Source = 7
	FromGroup         Source = 8
)

// Config is a config as clients see it.
type Config struct {
	Name      string
	Value     *string // nil: null, or sensitive
	Source    Source
	Type      config.Type // 0: unknown
	ReadOnly  bool
	Sensitive bool
	Doc       string // "": none
	Synonyms  []Synonym
}

// Synonym is a place that Value could come from, the strongest first. The first of them is where it does come from.
type Synonym struct {
	Name   string
	Value  *string
	Source Source
}

// Describe lists the configs of a resource, sorted by name; with names only those of them that exist. The errors are
// Kafka's: UnknownTopicOrPartition, InvalidTopicException, InvalidRequest.
func (s *Store) Describe(r Resource, names []string) ([]Config, error) {
	v := s.View()
	var all []Config
	switch r.Type {
	case TopicResource:
		if err := checkName(r.Name); err != nil {
			return nil, err
		}
		t, ok := v.ByName(r.Name)
		if !ok {
			return nil, kafka.Errorf(kafka.UnknownTopicOrPartition, "")
		}
		all = v.describeTopic(t, names)
	case Broker:
		if err := s.checkDescribed(r.Name, "expected %d or empty string, but received %d"); err != nil && r.Name != "" {
			return nil, err
		}
		all = v.describeBroker(r.Name != "")
	case BrokerLogger:
		if r.Name == "" {
			return nil, kafka.Errorf(kafka.InvalidRequest, "Broker id must not be empty")
		}
		if err := s.checkDescribed(r.Name, "expected %d but received %d"); err != nil {
			return nil, err
		}
		if s.o.Level != nil {
			level := levelName(s.o.Level.Level())
			all = []Config{{Name: rootLogger, Value: &level, Source: FromLogger, Doc: "The level below which nothing is logged."}}
		}
	case ClientMetrics:
		if r.Name == "" {
			return nil, kafka.Errorf(kafka.InvalidRequest, "Client metrics subscription name must not be empty")
		}
		all = v.describeMetrics(r.Name)
	case Group:
		if r.Name == "" {
			return nil, kafka.Errorf(kafka.InvalidRequest, "Group name must not be empty")
		}
		all = v.describeGroup(r.Name)
	default:
		return nil, kafka.InvalidRequest
	}
	if len(names) > 0 {
		all = slices.DeleteFunc(all, func(c Config) bool { return !slices.Contains(names, c.Name) })
	}
	return all, nil
}

func (s *Store) checkDescribed(name, format string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return kafka.Errorf(kafka.InvalidRequest, "Broker id must be an integer, but it is: %s", name)
	}
	if int32(id) != s.o.NodeID {
		return kafka.Errorf(kafka.InvalidRequest, "Unexpected broker id, %s", fmt.Sprintf(format, s.o.NodeID, id))
	}
	return nil
}

func (v *View) describeTopic(t *Topic, names []string) []Config {
	out := make([]Config, 0, len(v.cat.topics))
	for _, c := range v.cat.topics {
		name := c.setting.Name()
		if _, set := t.parsed.Explicit(name); c.own && !set && !slices.Contains(names, name) {
			continue
		}
		d := Config{Name: name, Type: c.setting.Type(), Doc: c.setting.Doc()}
		if len(c.synonyms) > 0 {
			d.Synonyms = v.synonymsOf(c.synonyms[0].name, c.names())
		}
		if _, set := t.parsed.Explicit(name); set {
			text, _, _ := t.parsed.Text(name)
			d.Synonyms = slices.Insert(d.Synonyms, 0, Synonym{name, &text, FromTopic})
		}
		text, ok := v.topicValue(t.parsed, c)
		out = append(out, d.finish(text, ok))
	}
	sortConfigs(out)
	return out
}

func (c topicConfig) names() []string {
	out := make([]string, len(c.synonyms))
	for i, s := range c.synonyms {
		out[i] = s.name
	}
	return out
}

// topicValue is the effective value of a topic's config. parsed may be nil: the broker's then.
func (v *View) topicValue(parsed *config.Values, c topicConfig) (string, bool) {
	if _, set := parsed.Explicit(c.setting.Name()); set {
		text, _, ok := parsed.Text(c.setting.Name())
		return text, ok
	}
	// Settings of several units count in their order where they are set, and then where they have a default.
	for _, explicit := range []bool{true, false} {
		for _, s := range c.synonyms {
			if _, set := v.broker.Explicit(s.name); set != explicit {
				continue
			}
			if text, _, ok := v.broker.Text(s.name); ok {
				return scaled(text, s.scale), true
			}
		}
	}
	return c.setting.Default()
}

func scaled(text string, scale int64) string {
	if scale == 1 {
		return text
	}
	n := wholeNumberOr(text, 0)
	if n < 0 {
		return "-1"
	}
	return strconv.FormatInt(n*scale, 10)
}

// topicDefault is the value of a topic's config that is not set.
func (v *View) topicDefault(name string) string {
	text, _ := v.topicValue(nil, v.cat.topicByName[name])
	return text
}

// EffectiveTopicConfigs are the configs of a topic as the answer to its creation lists them: what was set in the letters
// in which it was sent, and where settings of another unit give the value, these as the source.
func (v *View) EffectiveTopicConfigs(t *Topic) []Config {
	out := make([]Config, 0, len(v.cat.topics))
	for _, c := range v.cat.topics {
		d := Config{Name: c.setting.Name(), Type: c.setting.Type(), Source: FromDefault}
		text, ok := t.Configs[d.Name]
		switch {
		case ok:
			d.Source = FromTopic
		case c.own:
			continue
		default:
			text, ok = v.topicValue(nil, c)
			for _, s := range c.synonyms {
				if e, set := v.broker.Explicit(s.name); set {
					d.Source = sourceOf(e.Origin)
					break
				}
			}
		}
		if ok {
			d.Value = &text
		}
		out = append(out, d)
	}
	sortConfigs(out)
	return out
}

func sourceOf(o config.Origin) Source {
	switch o {
	case config.FromDefault:
		return FromDefault
	case config.FromDynamicDefault:
		return FromBrokerDefault
	case config.FromDynamicBroker:
		return FromBroker
	}
	return FromStart
}

// synonymsOf are the places that give a broker setting its value: names are the setting and those that stand in for it,
// in each layer in their order. Kafka leaves out what stands before the setting itself.
func (v *View) synonymsOf(name string, names []string) []Synonym {
	var out []Synonym
	add := func(n, text string, from Source) {
		s := Synonym{Name: n, Source: from}
		if setting, ok := v.static.Schema().Lookup(n); ok && !setting.Sensitive() {
			s.Value = &text
		}
		out = append(out, s)
	}
	for _, layer := range []struct {
		texts map[string]string
		from  Source
	}{{v.brokers[v.nodeID].texts, FromBroker}, {v.brokers[""].texts, FromBrokerDefault}} {
		for _, n := range names {
			if text, ok := layer.texts[n]; ok {
				add(n, text, layer.from)
			}
		}
	}
	for _, n := range names {
		if _, ok := v.static.Explicit(n); ok {
			text, _, _ := v.static.Text(n)
			add(n, text, FromStart)
		}
	}
	for _, n := range names {
		if s, ok := v.static.Schema().Lookup(n); ok {
			if text, ok := s.Default(); ok {
				add(n, text, FromDefault)
			}
		}
	}
	if i := slices.IndexFunc(out, func(s Synonym) bool { return s.Name == name }); i >= 0 {
		return out[i:]
	}
	return nil
}

// finish sets the value, and the source from the synonyms.
func (d Config) finish(text string, ok bool) Config {
	if ok && !d.Sensitive {
		d.Value = &text
	}
	d.Source = FromDefault
	if len(d.Synonyms) > 0 {
		d.Source = d.Synonyms[0].Source
	}
	return d
}

// brokerSynonyms are the settings that describe the same thing in other units.
var brokerSynonyms = [][]string{
	{"log.roll.ms", "log.roll.hours"},
	{"log.roll.jitter.ms", "log.roll.jitter.hours"},
	{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
	{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"},
}

func synonymNames(name string) []string {
	for _, names := range brokerSynonyms {
		if slices.Contains(names, name) && (name != "log.flush.scheduler.interval.ms") {
			return names
		}
	}
	return []string{name}
}

// describeBroker lists the settings of this broker, or those that were set for all.
func (v *View) describeBroker(one bool) []Config {
	var out []Config
	for _, s := range v.static.Settings() {
		_, set := v.broker.Explicit(s.Name())
		if s.Internal() && !set {
			continue
		}
		d := Config{
			Name: s.Name(), Type: s.Type(), ReadOnly: s.Mode() == config.ReadOnly, Sensitive: s.Sensitive(),
			Doc: s.Doc(), Synonyms: v.synonymsOf(s.Name(), synonymNames(s.Name())),
		}
		if s.Internal() {
			d.Doc = ""
		}
		text, _, ok := v.broker.Text(s.Name())
		if !one {
			d.Synonyms = slices.DeleteFunc(d.Synonyms, func(x Synonym) bool { return x.Source != FromBrokerDefault })
			if text, ok = v.brokers[""].texts[s.Name()]; !ok {
				continue
			}
		}
		out = append(out, d.finish(text, ok))
	}
	out = append(out, v.describeUnknown(one)...)
	sortConfigs(out)
	return out
}

// describeUnknown lists what was set for brokers under names that nobody knows. It may be a secret of a plug-in.
func (v *View) describeUnknown(one bool) []Config {
	var out []Config
	seen := map[string]bool{}
	for _, layer := range []struct {
		texts map[string]string
		from  Source
		skip  bool
	}{{v.brokers[v.nodeID].texts, FromBroker, !one}, {v.brokers[""].texts, FromBrokerDefault, false}} {
		for _, name := range sortedKeys(layer.texts) {
			_, listed := v.static.Explicit(name)
			if listed || v.static.Schema().Declares(name) || layer.skip || seen[name] {
				continue
			}
			seen[name] = true
			d := Config{Name: name, Source: layer.from, ReadOnly: true, Sensitive: true, Synonyms: []Synonym{{Name: name, Source: layer.from}}}
			if s, ok := v.listenerSetting(name); ok {
				text := layer.texts[name]
				d.Type, d.Sensitive = s.Type(), s.Sensitive()
				if !d.Sensitive {
					d.Value, d.Synonyms[0].Value = &text, &text
				}
			}
			out = append(out, d)
		}
	}
	return out
}

// listenerSetting finds the setting behind listener.name.<listener>.<setting>.
func (v *View) listenerSetting(name string) (*config.Setting, bool) {
	rest, ok := strings.CutPrefix(name, "listener.name.")
	if !ok {
		return nil, false
	}
	_, setting, _ := strings.Cut(rest, ".")
	return v.static.Schema().Lookup(setting)
}

func (v *View) describeGroup(name string) []Config {
	texts := v.groups[name].texts
	effective := v.cat.groupValues(v.broker, texts)
	out := make([]Config, 0, len(v.cat.groups))
	for _, g := range v.cat.groups {
		n := g.setting.Name()
		d := Config{Name: n, Type: g.setting.Type(), Doc: g.setting.Doc()}
		if g.synonym != "" {
			d.Synonyms = v.synonymsOf(g.synonym, []string{g.synonym})
		} else if def, ok := g.setting.Default(); ok {
			d.Synonyms = []Synonym{{n, &def, FromDefault}}
		}
		text, _, ok := effective.Text(n)
		if own, set := texts[n]; set {
			if text, ok = own, true; text != "" {
				text, _ = g.setting.Canonical(own)
			}
			d.Synonyms = slices.Insert(d.Synonyms, 0, Synonym{n, &text, FromGroup})
		}
		out = append(out, d.finish(text, ok))
	}
	sortConfigs(out)
	return out
}

func (v *View) describeMetrics(name string) []Config {
	texts := v.metrics[name].texts
	var out []Config
	for _, s := range v.cat.metricsSchema.Settings() {
		d := Config{Name: s.Name(), Type: s.Type(), Doc: s.Doc()}
		text, ok := s.Default()
		if own, set := texts[s.Name()]; set {
			text, ok = own, true
			if canonical, err := s.Canonical(own); err == nil {
				text = canonical
			}
			d.Synonyms = []Synonym{{s.Name(), &text, FromClientMetrics}}
		}
		out = append(out, d.finish(text, ok))
	}
	return out
}

func sortConfigs(list []Config) {
	slices.SortFunc(list, func(a, b Config) int { return strings.Compare(a.Name, b.Name) })
}

func wholeNumberOr(text string, otherwise int64) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}
