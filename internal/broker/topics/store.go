package topics

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

// Keys in the metadata store.
const (
	topicPrefix   = "t/"
	configPrefix  = "c/"
	clusterIDKey  = "ids/cluster"
	producerIDKey = "ids/pid"
)

// producerIDBlock is how many producer ids one transaction makes ready. Those of a block that is not used up when the
// program ends are lost.
const producerIDBlock = 1000

// Options of a Store.
type Options struct {
	Values *config.Values   // as the program was started; nil means defaults
	Shards int32            // that new topics are spread over; 0 means 1
	NodeID int32            // of this broker
	Now    func() time.Time // nil means time.Now
	Rand   io.Reader        // for ids; nil means crypto/rand
	Logger *slog.Logger     // nil discards
	// Brokers returns the ids of the brokers that there are, ascending; nil: this one is alone. It must not block.
	Brokers func() []int32
	// Level is the level of the program's log, which clients see and set as the logger "root"; nil hides it.
	Level *slog.LevelVar
	// CheckBroker, if not nil, tells what is wrong with the settings that this broker would have after a change.
	CheckBroker func(*config.Values) error
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Brokers == nil {
		o.Brokers = func() []int32 { return []int32{o.NodeID} }
	}
	o.Shards = max(o.Shards, 1)
	return o
}

// catalogue holds all declarations, by kind of resource.
type catalogue struct {
	topics        []topicConfig
	groups        []groupConfig
	topicByName   map[string]topicConfig
	groupByName   map[string]groupConfig
	topicSchema   *config.Schema
	groupSchema   *config.Schema
	metricsSchema *config.Schema
}

func newCatalogue() (*catalogue, error) {
	c := &catalogue{topics: newTopicConfigs(), groups: newGroupConfigs(), topicByName: map[string]topicConfig{}, groupByName: map[string]groupConfig{}}
	var topics, groups, metrics []config.Declared
	for _, t := range c.topics {
		topics = append(topics, t.setting)
		c.topicByName[t.setting.Name()] = t
	}
	for _, g := range c.groups {
		groups = append(groups, g.setting)
		c.groupByName[g.setting.Name()] = g
	}
	for _, m := range newMetricsConfigs() {
		metrics = append(metrics, m)
	}
	var errs [3]error
	c.topicSchema, errs[0] = config.NewSchema(topics...)
	c.groupSchema, errs[1] = config.NewSchema(groups...)
	c.metricsSchema, errs[2] = config.NewSchema(metrics...)
	return c, errors.Join(errs[:]...)
}

// Store keeps topics and configs. See the package comment. All methods may be called from any goroutine.
type Store struct {
	meta    meta.Store
	o       Options
	cat     *catalogue
	cluster kafka.TopicID

	view      atomic.Pointer[View]
	listeners []func(old, new *View) // set before use, then only read

	// turn holds one token; who has taken it may change the view and the fields below.
	turn  chan struct{}
	stale bool // a transaction ended without telling its outcome: load before the next
	// The view has all changes up to settled; what it does not have may have been deleted up to doubted (follow.go).
	settled, doubted int64
	refreshed        time.Time // when the last LookAgain began

	// pidTurn is the turn of the producer ids.
	pidTurn          chan struct{}
	pidNext, pidLast int64 // [pidNext, pidLast) may be given out

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
}

// Open reads everything, and makes the cluster's id if there is none.
func Open(ctx context.Context, m meta.Store, o Options) (*Store, error) {
	o = o.withDefaults()
	cat, err := newCatalogue()
	if err != nil {
		return nil, fmt.Errorf("declare configs: %w", err)
	}
	schema, err := o.Values.Schema().WithKnown(Settings()...)
	if err == nil {
		schema, err = schema.WithKnown(Known()...)
	}
	if err != nil {
		return nil, fmt.Errorf("declare settings: %w", err)
	}
	s := &Store{meta: m, o: o, cat: cat, turn: make(chan struct{}, 1), pidTurn: make(chan struct{}, 1), changed: make(chan struct{})}
	s.o.Values = o.Values.WithSchema(schema)
	if s.cluster, err = s.loadClusterID(ctx); err != nil {
		return nil, fmt.Errorf("cluster id: %w", err)
	}
	view, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	s.view.Store(view)
	return s, nil
}

// View is the newest snapshot.
func (s *Store) View() *View { return s.view.Load() }

// Changed is closed at the next change after the call.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// OnChange registers f before the store is used. f is called with every new view, in order, before the change that made
// it is answered. It must not change the store, nor take long: changes wait for it.
func (s *Store) OnChange(f func(old, new *View)) { s.listeners = append(s.listeners, f) }

// ClusterID is the id of the cluster in Kafka's text form. It never changes.
func (s *Store) ClusterID() string { return s.cluster.String() }

// ClusterUUID is the id of the cluster.
func (s *Store) ClusterUUID() [16]byte { return s.cluster }

// Shard is the shard of a partition. For a topic that is not there (any more) it is the shard that a topic made now
// with this id would have.
func (s *Store) Shard(id kafka.TopicID, partition int32) int32 {
	if t, ok := s.View().ByID(id); ok {
		return t.Shard(partition)
	}
	t := Topic{FirstShard: firstShard(id, s.o.Shards), Shards: s.o.Shards}
	return t.Shard(partition)
}

// LogConfig is View().LogConfig.
func (s *Store) LogConfig(t *Topic) LogConfig { return s.View().LogConfig(t) }

// Values are the broker's settings now: those of the start with what was changed since.
func (s *Store) Values() *config.Values { return s.View().Values() }

func (s *Store) takeTurn(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) endTurn() { <-s.turn }

// reload is for who has the turn.
func (s *Store) reload(ctx context.Context) error {
	v, err := s.load(ctx)
	if err != nil {
		return err
	}
	s.stale = false
	s.publish(v)
	return nil
}

// publish makes v the newest view and tells everybody. It is for who has the turn.
func (s *Store) publish(v *View) {
	v.Revision = max(v.Revision, s.View().Revision+1) // also where a change of our own came before an older one of another broker
	old := s.view.Swap(v)
	for _, f := range s.listeners {
		f(old, v)
	}
	s.mu.Lock()
	done := s.changed
	s.changed = make(chan struct{})
	s.mu.Unlock()
	close(done)
}

// txn runs one transaction. For who has the turn. ok is false if a key is not as the view has it; the view has then been
// read anew.
func (s *Store) txn(ctx context.Context, compares []meta.Compare, ops []meta.Op) (revision int64, ok bool, err error) {
	r, err := s.meta.Txn(ctx, compares, ops)
	if err != nil {
		s.stale = true
		return 0, false, fmt.Errorf("write metadata: %w", err)
	}
	if !r.Succeeded {
		return 0, false, s.reload(ctx)
	}
	if slices.ContainsFunc(ops, func(o meta.Op) bool { return o.Kind == meta.Delete }) {
		s.forget(r.Revision)
	}
	return r.Revision, true, nil
}

// begin takes the turn and makes sure that the view is what the store holds.
func (s *Store) begin(ctx context.Context) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	if s.stale {
		if err := s.reload(ctx); err != nil {
			s.endTurn()
			return err
		}
	}
	return nil
}

// load reads a view. A damaged value is an error: it names the key, and nothing is served that might be wrong.
func (s *Store) load(ctx context.Context) (*View, error) {
	v := &View{
		cat: s.cat, static: s.o.Values, nodeID: strconv.Itoa(int(s.o.NodeID)),
		brokers: map[string]override{}, groups: map[string]override{}, metrics: map[string]override{},
		quotas: &quotas{map[string]override{}},
	}
	before, err := s.present(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := s.meta.Range(ctx, configPrefix, "", 0)
	if err != nil {
		return nil, fmt.Errorf("read configs: %w", err)
	}
	for _, e := range entries {
		if err := v.loadConfigs(e); err != nil {
			return nil, fmt.Errorf("metadata key %q: %w", e.Key, err)
		}
	}
	v.layBroker()
	if entries, err = s.meta.Range(ctx, topicPrefix, "", 0); err != nil {
		return nil, fmt.Errorf("read topics: %w", err)
	}
	all := make([]*Topic, 0, len(entries))
	for _, e := range entries {
		t, err := s.decode(e)
		if err != nil {
			return nil, fmt.Errorf("metadata key %q: %w", e.Key, err)
		}
		v.Revision = max(v.Revision, e.Revision)
		all = append(all, t)
	}
	v.setTopics(all)
	if old := s.view.Load(); old != nil {
		v.Revision = max(v.Revision, old.Revision) // deletions leave no trace
	}
	after, err := s.present(ctx)
	if err != nil {
		return nil, err
	}
	s.settled = max(s.settled, before)
	s.forget(after)
	return v, nil
}

// parseStored leaves out what this program does not know or take: another version may have written it.
func (s *Store) parseStored(t *Topic) *config.Values {
	fit := maps.Clone(t.Configs)
	maps.DeleteFunc(fit, func(name, text string) bool {
		setting, ok := s.cat.topicSchema.Lookup(name)
		if ok {
			_, err := setting.Parse(text)
			ok = err == nil
		}
		if !ok {
			s.o.Logger.Warn("stored topic config is not understood and has no effect", "topic", t.Name, "config", name)
		}
		return !ok
	})
	values, err := s.cat.topicSchema.Defaults().With(config.FromDynamicBroker, fit)
	if err != nil {
		return s.cat.topicSchema.Defaults() // cannot happen: each text was parsed
	}
	return values
}

func (v *View) loadConfigs(e meta.Entry) error {
	kind, name, err := splitConfigKey(e.Key)
	if err != nil {
		return err
	}
	texts, err := decodeConfigs(e.Value)
	if err != nil {
		return err
	}
	o := override{texts, e.Revision}
	switch kind {
	case brokerKind:
		v.brokers[name] = o
	case groupKind:
		v.groups[name] = o
	case metricsKind:
		v.metrics[name] = o
	case quotaKind:
		v.quotas.byEntity[name] = o
	case clusterKind:
		if name == featuresName {
			v.features = makeFeatures(o)
		}
	default:
		return fmt.Errorf("unknown kind of configs: %w", errBadValue)
	}
	v.Revision = max(v.Revision, e.Revision)
	return nil
}

// AllocateProducerID gives out a producer id that was never given out and never will be again, whatever crashes.
func (s *Store) AllocateProducerID(ctx context.Context) (int64, error) {
	select {
	case s.pidTurn <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-s.pidTurn }()
	for s.pidNext == s.pidLast {
		next, revision, err := s.readProducerBlock(ctx)
		if err != nil {
			return 0, fmt.Errorf("producer ids: %w", err)
		}
		r, err := s.meta.Txn(ctx, []meta.Compare{{Key: producerIDKey, Revision: revision}},
			[]meta.Op{{Kind: meta.Put, Key: producerIDKey, Value: encodeProducerBlock(next + producerIDBlock)}})
		if err != nil {
			return 0, fmt.Errorf("producer ids: %w", err)
		}
		if r.Succeeded { // else another broker was faster: take the block behind its
			s.pidNext, s.pidLast = next, next+producerIDBlock
		}
	}
	id := s.pidNext
	s.pidNext++
	return id, nil
}

// SkipProducerIDs has the next ids of producers begin so many later, in a metadata store that was restored: ids may have been given out that
// it does not know of.
func SkipProducerIDs(ctx context.Context, store meta.Store, by int64) error {
	s := &Store{meta: store}
	next, revision, err := s.readProducerBlock(ctx)
	if err != nil {
		return fmt.Errorf("producer ids: %w", err)
	}
	r, err := store.Txn(ctx, []meta.Compare{{Key: producerIDKey, Revision: revision}}, []meta.Op{{Kind: meta.Put, Key: producerIDKey, Value: encodeProducerBlock(next + by)}})
	if err == nil && !r.Succeeded {
		err = errors.New("another process uses the metadata store")
	}
	if err != nil {
		return fmt.Errorf("producer ids: %w", err)
	}
	return nil
}

func (s *Store) readProducerBlock(ctx context.Context) (next, revision int64, err error) {
	e, err := s.meta.Get(ctx, producerIDKey)
	if errors.Is(err, meta.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	next, err = decodeProducerBlock(e.Value)
	return next, e.Revision, err
}

// HasCluster tells whether a metadata store holds a cluster already.
func HasCluster(ctx context.Context, m meta.Store) (bool, error) {
	_, err := m.Get(ctx, clusterIDKey)
	if errors.Is(err, meta.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the cluster's id: %w", err)
	}
	return true, nil
}

// ReadClusterID returns the id of the cluster whose metadata m holds; meta.ErrNotFound if that is none.
func ReadClusterID(ctx context.Context, m meta.Store) ([16]byte, error) {
	e, err := m.Get(ctx, clusterIDKey)
	if err != nil {
		return [16]byte{}, fmt.Errorf("read the cluster's id: %w", err)
	}
	return decodeClusterID(e.Value)
}

// ReadTopicID returns the id of a topic in the metadata that m holds; meta.ErrNotFound if there is none of that name.
func ReadTopicID(ctx context.Context, m meta.Store, name string) (kafka.TopicID, error) {
	e, err := m.Get(ctx, topicPrefix+name)
	if err != nil {
		return kafka.TopicID{}, fmt.Errorf("read topic %s: %w", name, err)
	}
	t, err := decodeTopic(name, e.Value)
	if err != nil {
		return kafka.TopicID{}, fmt.Errorf("read topic %s: %w", name, err)
	}
	return t.ID, nil
}

func (s *Store) loadClusterID(ctx context.Context) (kafka.TopicID, error) {
	for {
		e, err := s.meta.Get(ctx, clusterIDKey)
		if err == nil {
			return decodeClusterID(e.Value)
		}
		if !errors.Is(err, meta.ErrNotFound) {
			return kafka.TopicID{}, err
		}
		id, err := kafka.NewTopicID(s.o.Rand)
		if err != nil {
			return kafka.TopicID{}, err
		}
		// If another broker is faster, its id is read in the next round.
		if _, err := s.meta.Txn(ctx, []meta.Compare{{Key: clusterIDKey}}, []meta.Op{{Kind: meta.Put, Key: clusterIDKey, Value: encodeClusterID(id)}}); err != nil {
			return kafka.TopicID{}, err
		}
	}
}
