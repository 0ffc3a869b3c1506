package topics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
)

// AlterConfigs changes some configs of a resource, all of changes or none. The errors are Kafka's, as *kafka.Detail:
// InvalidConfig, InvalidRequest, InvalidTopicException, UnknownTopicOrPartition.
func (s *Store) AlterConfigs(ctx context.Context, r Resource, changes []Change, validateOnly bool) error {
	return s.alter(ctx, r, changes, false, validateOnly)
}

// ReplaceConfigs makes configs all that is set for a resource. A nil value is an error, as Kafka has it.
func (s *Store) ReplaceConfigs(ctx context.Context, r Resource, configs []Change, validateOnly bool) error {
	if r.Type == BrokerLogger {
		return unknownType(r.Type) // levels can only be changed one by one
	}
	return s.alter(ctx, r, configs, true, validateOnly)
}

func (s *Store) alter(ctx context.Context, r Resource, changes []Change, replace, validateOnly bool) error {
	if err := checkChanges(changes); err != nil {
		return err
	}
	switch r.Type {
	case BrokerLogger:
		return s.alterLogger(r, changes, validateOnly)
	case TopicResource:
		if r.Name == "" {
			return kafka.Errorf(kafka.InvalidRequest, "Default topic resources are not allowed.")
		}
		if err := checkName(r.Name); err != nil {
			return err
		}
	case Broker:
		name, err := s.brokerName(r.Name)
		if err != nil {
			return err
		}
		r.Name = name
	case Group:
		if r.Name == "" {
			return kafka.Errorf(kafka.InvalidRequest, "Default group resources are not allowed.")
		}
	case ClientMetrics:
	default:
		return unknownType(r.Type)
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	for range attempts {
		done, err := s.alterOnce(ctx, r, changes, replace, validateOnly)
		if err != nil || done {
			return err
		}
	}
	return fmt.Errorf("configs of %q: %w", r.Name, errContended)
}

// checkChanges refuses what is wrong whatever the resource is.
func checkChanges(changes []Change) error {
	seen := make(map[string]struct{}, len(changes))
	var nulls []string
	for _, c := range changes {
		if _, ok := seen[c.Name]; ok {
			return kafka.Errorf(kafka.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[c.Name] = struct{}{}
		if c.Op < Set || c.Op > Subtract {
			return kafka.Errorf(kafka.InvalidRequest, "Unknown operation %d for %s", c.Op, c.Name)
		}
		if c.Value == nil && c.Op != Delete {
			nulls = append(nulls, c.Name)
		}
	}
	if len(nulls) > 0 {
		return kafka.Errorf(kafka.InvalidRequest, "Null value not supported for : %s", strings.Join(nulls, ", "))
	}
	return nil
}

// alterOnce tries the change on the present view; done is false if the view was outdated.
func (s *Store) alterOnce(ctx context.Context, r Resource, changes []Change, replace, validateOnly bool) (done bool, err error) {
	v := s.View()
	if r.Type == TopicResource {
		return s.alterTopic(ctx, v, r.Name, changes, replace, validateOnly)
	}
	old, existed := v.overrideOf(r)
	texts, err := v.apply(r.Type, old.texts, changes, replace)
	if err != nil {
		return false, err
	}
	if err := s.checkOverride(v, r, texts, changes); err != nil {
		return false, err
	}
	key, err := r.key()
	if err != nil {
		return false, err
	}
	if validateOnly || maps.Equal(texts, old.texts) {
		return true, nil
	}
	if !existed && r.Type != Broker && max(len(v.groups), len(v.metrics)) >= maxResources {
		return false, kafka.Errorf(kafka.PolicyViolation, "%d resources have configs; no more are kept.", maxResources)
	}
	var t txnBuilder
	if len(texts) == 0 {
		t.delete(key, old.revision)
	} else {
		t.put(key, old.revision, encodeConfigs(texts))
	}
	revision, ok, err := s.txn(ctx, t.compares, t.ops)
	if err != nil || !ok {
		return false, err
	}
	next := v.withOverride(r, texts, revision)
	next.Revision = revision
	s.publish(next)
	return true, nil
}

func (s *Store) alterTopic(ctx context.Context, v *View, name string, changes []Change, replace, validateOnly bool) (done bool, err error) {
	old, exists := v.ByName(name)
	var before map[string]string
	if exists {
		before = old.Configs
	}
	texts, err := v.apply(TopicResource, before, changes, replace)
	if err != nil {
		return false, err
	}
	// Kafka looks at the configs first, and at the topic then.
	parsed, err := s.checkTopic(v, texts)
	if err != nil {
		return false, err
	}
	if !exists {
		return false, kafka.Errorf(kafka.UnknownTopicOrPartition, "The topic '%s' does not exist.", name)
	}
	if validateOnly || maps.Equal(texts, before) {
		return true, nil
	}
	changed := *old
	changed.Configs = texts
	changed.configure(parsed)
	var t txnBuilder
	t.put(topicPrefix+name, old.revision, encodeTopic(&changed))
	revision, ok, err := s.txn(ctx, t.compares, t.ops)
	if err != nil || !ok {
		return false, err
	}
	changed.revision = revision
	next := v.withTopics(&changed)
	next.Revision = revision
	s.publish(next)
	return true, nil
}

func (v *View) overrideOf(r Resource) (override, bool) {
	o, ok := map[ResourceType]map[string]override{Broker: v.brokers, Group: v.groups, ClientMetrics: v.metrics}[r.Type][r.Name]
	return o, ok
}

// apply is old with the changes made; old stays as it is.
func (v *View) apply(t ResourceType, old map[string]string, changes []Change, replace bool) (map[string]string, error) {
	out := make(map[string]string, len(old)+len(changes))
	if !replace {
		maps.Copy(out, old)
	}
	for _, c := range changes {
		switch {
		case c.Op == Delete:
			delete(out, c.Name)
		case c.Op == Set || replace:
			out[c.Name] = *c.Value
		default:
			list, err := v.listOf(t, c, out)
			if err != nil {
				return nil, err
			}
			out[c.Name] = combine(list, *c.Value, c.Op)
		}
	}
	return out, nil
}

// combine adds or takes away the elements of text.
func combine(list []string, text string, op Op) string {
	var words []string
	if text != "" {
		words = strings.Split(text, ",")
	}
	out := slices.Clone(list)
	for _, w := range words {
		w = strings.TrimSpace(w)
		if op == Subtract {
			out = slices.DeleteFunc(out, func(x string) bool { return x == w })
		} else if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return strings.Join(out, ",")
}

// listOf is the present value of a list: what is set, else the default. Only topic configs and broker settings can be
// lists here, in Kafka as well.
func (v *View) listOf(t ResourceType, c Change, texts map[string]string) ([]string, error) {
	var s *config.Setting
	var known bool
	switch t {
	case TopicResource:
		s, known = v.cat.topicSchema.Lookup(c.Name)
	case Broker:
		if s, known = v.static.Schema().Lookup(c.Name); !known || s.Internal() {
			return nil, kafka.Errorf(kafka.InvalidConfig, "Unknown config name: %s", c.Name)
		}
	}
	if !known || s.Type() != config.TypeList {
		if t == Broker {
			return nil, kafka.Errorf(kafka.InvalidConfig, "Config value %s is not allowed for config key: %s", strings.ToLower(c.Op.String()), c.Name)
		}
		return nil, kafka.Errorf(kafka.InvalidConfig, "Can't %s to key %s because its type is not LIST.", c.Op, c.Name)
	}
	text, ok := texts[c.Name]
	if !ok {
		if t == TopicResource {
			text = v.topicDefault(c.Name)
		} else {
			text, _, _ = v.broker.Text(c.Name)
		}
	}
	value, err := s.Parse(text)
	if err != nil {
		return nil, kafka.Errorf(kafka.InvalidConfig, "%s", err.Error())
	}
	list, _ := value.([]string)
	return list, nil
}

// checkOverride checks what would be set for a broker, group or subscription.
func (s *Store) checkOverride(v *View, r Resource, texts map[string]string, changes []Change) error {
	if err := checkBytes(texts); err != nil {
		return err
	}
	switch r.Type {
	case Group:
		_, err := s.cat.checkGroupConfigs(v.broker, texts)
		return err
	case ClientMetrics:
		return s.cat.checkMetricsConfigs(r.Name, texts)
	}
	if err := v.checkBroker(r.Name, texts, changes); err != nil {
		return err
	}
	next := v.withOverride(r, texts, v.Revision).Values()
	if err := v.checkMeaning(next, changedNames(texts, changes)); err != nil {
		return err
	}
	if err := v.checkInsync(r.Name, changes); err != nil || s.o.CheckBroker == nil {
		return err
	}
	if err := s.o.CheckBroker(next); err != nil {
		return kafka.Errorf(kafka.InvalidRequest, "Validation of dynamic config update failed: %s", err.Error())
	}
	return nil
}

// changedNames are the names that changes left set in texts.
func changedNames(texts map[string]string, changes []Change) []string {
	var out []string
	for _, c := range changes {
		if _, set := texts[c.Name]; set {
			out = append(out, c.Name)
		}
	}
	return out
}

// tlsStores are the settings that Kafka lets change only for one listener.
var tlsStores = []string{
	"ssl.key.password", "ssl.keystore.certificate.chain", "ssl.keystore.key", "ssl.keystore.location", "ssl.keystore.password", "ssl.keystore.type",
	"ssl.truststore.certificates", "ssl.truststore.location", "ssl.truststore.password", "ssl.truststore.type",
}

// checkBroker checks changed broker settings. Names that nobody knows are kept, as in Kafka: plug-ins may have settings.
func (v *View) checkBroker(broker string, texts map[string]string, changes []Change) error {
	var fixed, tls, single []string
	for _, c := range changes {
		if _, set := texts[c.Name]; !set {
			continue
		}
		s, known := v.static.Schema().Lookup(c.Name)
		switch {
		case known && s.Mode() == config.ReadOnly:
			fixed = append(fixed, c.Name)
		case slices.Contains(tlsStores, c.Name):
			tls = append(tls, c.Name)
		case known && s.Mode() == config.PerBrokerMode && broker == "":
			single = append(single, c.Name)
		}
	}
	for _, refused := range []struct {
		names []string
		why   string
	}{
		{fixed, "Cannot update these configs dynamically"},
		{tls, "These security configs can be dynamically updated only per-listener using the listener prefix"},
	} {
		if len(refused.names) > 0 {
			return kafka.Errorf(kafka.InvalidRequest, "%s: [%s]", refused.why, strings.Join(refused.names, ", "))
		}
	}
	for _, name := range sortedKeys(texts) {
		if s, known := v.static.Schema().Lookup(name); known {
			if _, err := s.Parse(texts[name]); err != nil {
				return kafka.Errorf(kafka.InvalidRequest, "%s", err.Error())
			}
		}
	}
	if len(single) > 0 {
		slices.Sort(single)
		return kafka.Errorf(kafka.InvalidRequest, "Cannot update these configs at default cluster level, broker id must be specified: [%s]", strings.Join(single, ", "))
	}
	return nil
}
