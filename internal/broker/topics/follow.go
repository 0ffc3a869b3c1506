package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
)

// How the view keeps up with other brokers. Changes come as events, key by key; a change of our own is in the view before its event
// comes. Each topic and each override knows the revision of its key, so that an event that is old, or our own, has no effect.
// Only what is not there any more knows nothing: that is what settled and doubted are for.

// refreshInterval is the least time between two looks, and refreshTimeout how long a client waits for one.
const (
	refreshInterval = time.Second
	refreshTimeout  = 500 * time.Millisecond
)

// Run follows changes that other brokers make in a shared metadata store. It is a service.Service.
func (s *Store) Run(ctx context.Context, ready func()) error {
	f := meta.Follower{Store: s.meta, What: "topics and configs", Prefixes: []string{topicPrefix, configPrefix}, Reload: s.Refresh, Apply: s.follow, Logger: s.o.Logger}
	return f.Run(ctx, ready)
}

// LookAgain reads everything anew, for a client that names a topic that the view does not have: another broker may have just made it.
// One look serves all who ask meanwhile, and those who ask within a second after it began find the view as it is. It
// fails silently: the view is then as it was. A broker without others has no need of it.
func (s *Store) LookAgain(ctx context.Context) {
	if len(s.o.Brokers()) < 2 {
		return
	}
	asked := s.o.Now()
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	if err := s.takeTurn(ctx); err != nil {
		return
	}
	defer s.endTurn()
	if since := asked.Sub(s.refreshed); since < refreshInterval && since > -refreshInterval {
		return
	}
	s.refreshed = asked
	if err := s.reload(ctx); err != nil {
		s.o.Logger.Debug("metadata not refreshed", "err", err)
	}
}

// Refresh makes the view at least as new as what the metadata store held when it was called.
func (s *Store) Refresh(ctx context.Context) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	return s.reload(ctx)
}

// follow takes events into the view.
func (s *Store) follow(ctx context.Context, events []meta.Event) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	d := delta{store: s, view: s.View(), topics: map[string]*Topic{}, configs: map[string]*override{}}
	for _, e := range events {
		if e.Revision <= s.settled {
			continue // the view was read after it
		}
		if err := d.add(ctx, e); err != nil {
			return fmt.Errorf("metadata key %q: %w", e.Key, err)
		}
	}
	if len(d.topics) == 0 && len(d.configs) == 0 {
		return nil
	}
	v, err := d.view.with(d.topics, d.configs)
	if err != nil {
		return err
	}
	v.Revision = max(v.Revision, d.revision)
	s.publish(v)
	return nil
}

// delta gathers what events change: by name and by key, nil for what is gone.
type delta struct {
	store    *Store
	view     *View
	topics   map[string]*Topic
	configs  map[string]*override
	revision int64
}

func (d *delta) add(ctx context.Context, e meta.Event) error {
	held, there, err := d.held(e.Key)
	if err != nil || held >= e.Revision {
		return err
	}
	entry, put := e.Entry, e.Kind == meta.Put
	if put && !there && e.Revision <= d.store.doubted {
		// It may have been deleted since, which the view knows and the event does not.
		switch entry, err = d.store.meta.Get(ctx, e.Key); {
		case errors.Is(err, meta.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
	}
	if !put && !there {
		return nil
	}
	d.revision = max(d.revision, e.Revision, entry.Revision)
	name, isTopic := strings.CutPrefix(e.Key, topicPrefix)
	switch {
	case isTopic && !put:
		d.topics[name] = nil
	case isTopic:
		d.topics[name], err = d.store.decode(entry)
	case !put:
		d.configs[e.Key] = nil
	default:
		var texts map[string]string
		texts, err = decodeConfigs(entry.Value)
		d.configs[e.Key] = &override{texts, entry.Revision}
	}
	return err
}

// held returns the revision of what is held of a key; there is false for nothing.
func (d *delta) held(key string) (revision int64, there bool, err error) {
	if name, ok := strings.CutPrefix(key, topicPrefix); ok {
		t, changed := d.topics[name]
		if !changed {
			t, _ = d.view.ByName(name)
		}
		if t == nil {
			return 0, false, nil
		}
		return t.revision, true, nil
	}
	o, changed := d.configs[key]
	if !changed {
		kind, name, err := splitConfigKey(key)
		if err != nil {
			return 0, false, err
		}
		old, ok := d.view.overridesOf(kind)[name]
		return old.revision, ok && old.revision > 0, nil
	}
	if o == nil {
		return 0, false, nil
	}
	return o.revision, true, nil
}

// splitConfigKey returns what a key of configs is about.
func splitConfigKey(key string) (kind, name string, err error) {
	kind, name, _ = strings.Cut(strings.TrimPrefix(key, configPrefix), "/")
	if name, err = url.PathUnescape(name); err != nil {
		return "", "", fmt.Errorf("%w: %w", err, errBadValue)
	}
	if kind == brokerKind && name == defaultBroker {
		name = ""
	}
	return kind, name, nil
}

// overridesOf returns what is kept of a kind, by name; nil for kinds that there are not. The map must not be changed.
func (v *View) overridesOf(kind string) map[string]override {
	switch kind {
	case brokerKind:
		return v.brokers
	case groupKind:
		return v.groups
	case metricsKind:
		return v.metrics
	case quotaKind:
		return v.quotas.byEntity
	case clusterKind:
		return map[string]override{featuresName: v.features.override}
	}
	return nil
}

// with is the view with topics, by name, and configs, by key, put in or, where they are nil, taken out.
func (v *View) with(changed map[string]*Topic, configs map[string]*override) (*View, error) {
	next := *v
	if len(changed) > 0 {
		next.replaceTopics(changed)
	}
	if len(configs) == 0 {
		return &next, nil
	}
	byKind := map[string]map[string]*override{}
	for key, o := range configs {
		kind, name, err := splitConfigKey(key)
		if err != nil {
			return nil, fmt.Errorf("metadata key %q: %w", key, err)
		}
		if byKind[kind] == nil {
			byKind[kind] = map[string]*override{}
		}
		byKind[kind][name] = o
	}
	for kind, changes := range byKind {
		all := maps.Clone(v.overridesOf(kind))
		if all == nil {
			all = map[string]override{}
		}
		for name, o := range changes {
			if o == nil {
				delete(all, name)
			} else {
				all[name] = *o
			}
		}
		if err := next.setOverrides(kind, all); err != nil {
			return nil, err
		}
	}
	if byKind[brokerKind] != nil {
		next.layBroker()
	}
	return &next, nil
}

// setOverrides is for a view that nobody else has seen.
func (v *View) setOverrides(kind string, all map[string]override) error {
	switch kind {
	case brokerKind:
		v.brokers = all
	case groupKind:
		v.groups = all
	case metricsKind:
		v.metrics = all
	case quotaKind:
		v.quotas = &quotas{all}
	case clusterKind:
		v.features = makeFeatures(all[featuresName])
	default:
		return fmt.Errorf("unknown kind of configs %q: %w", kind, errBadValue)
	}
	return nil
}

// replaceTopics puts topics in, or in the place of those of their names, and takes out those that are nil. It goes over the lists
// once, however many there are. It is for a view that nobody else has seen.
func (v *View) replaceTopics(changed map[string]*Topic) {
	added := make([]*Topic, 0, len(changed))
	for _, t := range changed {
		if t != nil {
			added = append(added, t)
		}
	}
	byName := func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) }
	byID := func(a, b *Topic) int { return compareIDs(a.ID, b.ID) }
	v.byName, v.byID = mergeTopics(v.byName, changed, added, byName), mergeTopics(v.byID, changed, added, byID)
	v.partitions = 0
	for _, t := range v.byName {
		v.partitions += int64(t.Partitions)
	}
}

// mergeTopics returns the sorted list without those whose names are in changed, and with added.
func mergeTopics(list []*Topic, changed map[string]*Topic, added []*Topic, compare func(a, b *Topic) int) []*Topic {
	slices.SortFunc(added, compare)
	out := make([]*Topic, 0, len(list)+len(added))
	for _, t := range list {
		if _, gone := changed[t.Name]; gone {
			continue
		}
		for len(added) > 0 && compare(added[0], t) < 0 {
			out, added = append(out, added[0]), added[1:]
		}
		out = append(out, t)
	}
	return append(out, added...)
}

// decode reads a stored topic.
func (s *Store) decode(e meta.Entry) (*Topic, error) {
	t, err := decodeTopic(strings.TrimPrefix(e.Key, topicPrefix), e.Value)
	if err != nil {
		return nil, err
	}
	t.revision = e.Revision
	t.configure(s.parseStored(t))
	return t, nil
}

// present is a revision that everything that is read from now on contains.
func (s *Store) present(ctx context.Context) (int64, error) {
	r, err := s.meta.Txn(ctx, nil, nil)
	if err != nil {
		return 0, fmt.Errorf("read the revision of the metadata: %w", err)
	}
	return r.Revision, nil
}

// forget notes that the view has lost something at a revision, for events that have not come yet. It is for who has the turn.
func (s *Store) forget(revision int64) { s.doubted = max(s.doubted, revision) }
