package topics

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

// Bounds of one transaction, below those of the metadata store.
const (
	txnTopics = 100
	txnBytes  = 512 << 10
)

// maxConfigBytes bounds the overrides of one resource, names and values together.
const maxConfigBytes = 64 << 10

// attempts is how often a change is tried again because another broker changed the same key.
const attempts = 5

// errContended is for a change that others were faster than, again and again. Clients try it anew.
var errContended = kafka.Errorf(kafka.RequestTimedOut, "Other brokers change the same metadata at the same time.")

// Spec describes a topic to be created.
type Spec struct {
	Name              string
	Partitions        int32 // -1: num.partitions
	ReplicationFactor int16 // -1: default.replication.factor
	// Assignments place partitions by hand; both numbers above must then be -1.
	Assignments []Assignment
	Configs     map[string]string
	// Beside, if not nil, is the topic whose shards the partitions share, index by index, so that one broker owns both.
	Beside *Topic
	// NullConfigs are the names of configs that were sent without a value.
	NullConfigs []string
}

// Assignment names the brokers of one partition. They must exist, one for each partition; where it goes is the matter of its shard.
type Assignment struct {
	Partition int32
	Replicas  []int32 // broker ids
}

// Created is the outcome of one Spec: a topic or an error.
type Created struct {
	Topic *Topic
	Err   error
}

// Create makes a topic and returns it once it is durable and in the view. With validateOnly it says what would
// be. The errors are Kafka's, as *kafka.Detail: TopicAlreadyExists, InvalidTopicException,
// InvalidPartitions, InvalidReplicationFactor, InvalidReplicaAssignment, InvalidConfig, InvalidRequest and PolicyViolation.
func (s *Store) Create(ctx context.Context, spec Spec, validateOnly bool) (*Topic, error) {
	c := s.CreateAll(ctx, []Spec{spec}, validateOnly)[0]
	return c.Topic, c.Err
}

// CreateAll creates topics together, in few transactions. Each has its own outcome.
func (s *Store) CreateAll(ctx context.Context, specs []Spec, validateOnly bool) []Created {
	out := make([]Created, len(specs))
	fail := func(err error) []Created {
		for i := range out {
			if out[i].Topic == nil && out[i].Err == nil {
				out[i].Err = err
			}
		}
		return out
	}
	if err := s.begin(ctx); err != nil {
		return fail(err)
	}
	defer s.endTurn()
	if validateOnly {
		for i, spec := range specs {
			topic, err := s.plan(s.View(), spec, 0)
			if err == nil {
				err = s.identify(topic, spec.Beside)
			}
			if out[i].Err = err; err == nil {
				out[i].Topic = topic
			}
		}
		return out
	}
	for next, tries := 0, 0; next < len(specs); {
		end, ok, err := s.createSome(ctx, specs, out, next)
		if err != nil {
			return fail(err)
		}
		if !ok {
			if tries++; tries == attempts {
				return fail(errContended)
			}
			continue // with the view that was just read
		}
		next, tries = end, 0
	}
	return out
}

// createSome creates what fits into one transaction, from specs[next] on, and returns where it stopped.
func (s *Store) createSome(ctx context.Context, specs []Spec, out []Created, next int) (end int, ok bool, err error) {
	view := s.View()
	var (
		planned []*Topic
		where   []int
		adds    int64
		bytes   int
		t       txnBuilder
	)
	for end = next; end < len(specs) && len(planned) < txnTopics && bytes < txnBytes; end++ {
		spec := specs[end]
		if slices.ContainsFunc(planned, func(p *Topic) bool { return p.Name == spec.Name }) {
			out[end] = Created{Err: alreadyExists(spec.Name)}
			continue
		}
		topic, err := s.plan(view, spec, adds)
		if err == nil {
			err = s.identify(topic, spec.Beside)
		}
		if out[end] = (Created{Err: err}); err != nil {
			continue
		}
		planned, where, adds = append(planned, topic), append(where, end), adds+int64(topic.Partitions)
		bytes += t.put(topicPrefix+topic.Name, 0, encodeTopic(topic))
	}
	if len(planned) == 0 {
		return end, true, nil
	}
	revision, ok, err := s.txn(ctx, t.compares, t.ops)
	if err != nil || !ok {
		return next, false, err
	}
	for i, topic := range planned {
		topic.revision = revision
		out[where[i]].Topic = topic
	}
	v := view.withTopics(planned...)
	v.Revision = revision
	s.publish(v)
	return end, true, nil
}

// txnBuilder gathers changes, each on condition that its key is as the view has it.
type txnBuilder struct {
	compares []meta.Compare
	ops      []meta.Op
}

func (t *txnBuilder) put(key string, revision int64, value []byte) (bytes int) {
	t.compares = append(t.compares, meta.Compare{Key: key, Revision: revision})
	t.ops = append(t.ops, meta.Op{Kind: meta.Put, Key: key, Value: value})
	return len(key) + len(value)
}

func (t *txnBuilder) delete(key string, revision int64) {
	t.compares = append(t.compares, meta.Compare{Key: key, Revision: revision})
	t.ops = append(t.ops, meta.Op{Kind: meta.Delete, Key: key})
}

// identify gives the topic its id. The place of its partitions follows from that alone, so a topic beside another gets one that fits.
func (s *Store) identify(t, beside *Topic) error {
	for tries := 0; ; tries++ {
		id, err := kafka.NewTopicID(s.o.Rand)
		if err != nil {
			return err
		}
		t.ID, t.FirstShard = id, firstShard(id, t.Shards)
		// One in Shards fits. A topic of another number of shards cannot be followed.
		if beside == nil || beside.Shards != t.Shards || t.FirstShard == beside.FirstShard || tries == identifyTries*int(t.Shards) {
			return nil
		}
	}
}

// identifyTries bounds how often, for each shard, an id is drawn that fits: all fail in one case of e^50.
const identifyTries = 50

func alreadyExists(name string) error {
	return kafka.Errorf(kafka.TopicAlreadyExists, "Topic '%s' already exists.", name)
}

// plan checks a spec in Kafka's order and returns the topic without its id. more is the number of partitions that are
// about to be added besides.
func (s *Store) plan(v *View, spec Spec, more int64) (*Topic, error) {
	if err := checkName(spec.Name); err != nil {
		return nil, err
	}
	if spec.Name == kafka.ClusterMetadataTopic {
		return nil, kafka.Errorf(kafka.InvalidRequest, "Creation of internal topic %s is prohibited.", spec.Name)
	}
	if _, ok := v.ByName(spec.Name); ok {
		return nil, alreadyExists(spec.Name)
	}
	if other := v.collision(spec.Name); other != "" {
		return nil, kafka.Errorf(kafka.InvalidTopicException, "Topic '%s' collides with existing topic: %s", spec.Name, other)
	}
	if len(spec.NullConfigs) > 0 {
		return nil, kafka.Errorf(kafka.InvalidConfig, "Null value not supported for topic configs: %s", strings.Join(spec.NullConfigs, ","))
	}
	parsed, err := s.checkTopic(v, spec.Configs)
	if err != nil {
		return nil, err
	}
	partitions, err := s.planPartitions(v.broker, spec)
	if err != nil {
		return nil, err
	}
	if err := v.checkCap(more + int64(partitions)); err != nil {
		return nil, err
	}
	t := &Topic{Name: spec.Name, Partitions: partitions, Shards: s.o.Shards, Configs: spec.Configs, CreatedAt: s.o.Now().UTC()}
	t.configure(parsed)
	return t, nil
}

func (s *Store) checkTopic(v *View, configs map[string]string) (*config.Values, error) {
	parsed, err := s.cat.checkTopicConfigs(v.broker, configs)
	if err != nil {
		return nil, err
	}
	return parsed, checkBytes(configs)
}

func checkBytes(configs map[string]string) error {
	total := 0
	for name, text := range configs {
		total += len(name) + len(text)
	}
	if total > maxConfigBytes {
		return kafka.Errorf(kafka.InvalidConfig, "The configs take %d bytes together; at most %d are kept.", total, maxConfigBytes)
	}
	return nil
}

// planPartitions allows as many replicas as there are brokers, since tools that were made for clusters ask for three of their topics (Connect's do
// by default). A partition has its owner alone all the same, which is what Metadata says; the object store keeps its records more safely.
func (s *Store) planPartitions(broker *config.Values, spec Spec) (int32, error) {
	if len(spec.Assignments) > 0 {
		return s.planAssignments(spec)
	}
	replicas := int(spec.ReplicationFactor)
	if replicas == -1 {
		replicas = DefaultReplicationFactor.Get(broker)
	} else if replicas < 1 {
		return 0, kafka.Errorf(kafka.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	}
	if spec.Partitions == 0 || spec.Partitions < -1 {
		return 0, kafka.Errorf(kafka.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	if n := len(s.o.Brokers()); replicas > max(n, 1) {
		return 0, kafka.Errorf(kafka.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): The target replication factor of %d "+
			"cannot be reached because only %d broker(s) are registered or some brokers have all their log directories cordoned.", replicas, replicas, n)
	}
	if spec.Partitions == -1 {
		return int32(NumPartitions.Get(broker)), nil
	}
	return spec.Partitions, nil
}

func (s *Store) planAssignments(spec Spec) (int32, error) {
	if spec.ReplicationFactor != -1 {
		return 0, kafka.Errorf(kafka.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	}
	if spec.Partitions != -1 {
		return 0, kafka.Errorf(kafka.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	seen := make(map[int32]struct{}, len(spec.Assignments))
	for _, a := range spec.Assignments {
		if _, ok := seen[a.Partition]; ok {
			return 0, kafka.Errorf(kafka.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		}
		seen[a.Partition] = struct{}{}
		if err := s.checkReplicas(a.Replicas); err != nil {
			return 0, err
		}
	}
	for i := range int32(len(spec.Assignments)) {
		if _, ok := seen[i]; !ok {
			return 0, kafka.Errorf(kafka.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
	}
	return int32(len(spec.Assignments)), nil
}

// checkReplicas allows brokers that there are, each once. Kafka looks at the ids in ascending order.
func (s *Store) checkReplicas(replicas []int32) error {
	if len(replicas) == 0 {
		return kafka.Errorf(kafka.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	sorted, brokers := slices.Sorted(slices.Values(replicas)), s.o.Brokers()
	for i, id := range sorted {
		if !slices.Contains(brokers, id) {
			return kafka.Errorf(kafka.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", id)
		}
		if i > 0 && id == sorted[i-1] {
			return kafka.Errorf(kafka.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", id)
		}
	}
	return nil
}

// checkCap refuses what would go over max.partitions.per.broker.
func (v *View) checkCap(more int64) error {
	if limit := int64(MaxPartitions.Get(v.broker)); v.partitions+more > limit {
		return kafka.Errorf(kafka.PolicyViolation, "Excessively large number of partitions: there would be %d, and %s is %d.",
			v.partitions+more, MaxPartitions.Name(), limit)
	}
	return nil
}

// collision finds a topic whose name differs only by "." for "_": the two would share the names of their metrics.
func (v *View) collision(name string) string {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	i := strings.IndexAny(name, "._")
	plain := strings.ReplaceAll(name, ".", "_")
	// Only names that agree before the first of the two letters can collide: a stretch of the sorted list.
	from, _ := slices.BinarySearchFunc(v.byName, name[:i], func(t *Topic, n string) int { return strings.Compare(t.Name, n) })
	for _, t := range v.byName[from:] {
		if !strings.HasPrefix(t.Name, name[:i]) {
			break
		}
		if len(t.Name) == len(name) && strings.ReplaceAll(t.Name, ".", "_") == plain {
			return t.Name
		}
	}
	return ""
}

// checkName words kafka.ValidateTopicName as Kafka does.
func checkName(name string) error {
	if kafka.ValidateTopicName(name) == nil {
		return nil
	}
	const refused = "Topic name is invalid: "
	switch {
	case name == "":
		return kafka.Errorf(kafka.InvalidTopicException, refused+"the empty string is not allowed")
	case name == "." || name == "..":
		return kafka.Errorf(kafka.InvalidTopicException, refused+"'%s' is not allowed", name)
	case len(name) > kafka.MaxTopicNameBytes:
		return kafka.Errorf(kafka.InvalidTopicException, refused+"the length of '%s' is longer than the max allowed length %d", name, kafka.MaxTopicNameBytes)
	}
	return kafka.Errorf(kafka.InvalidTopicException, refused+"'%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
}

// AddPartitions grows a topic to count partitions. assignments place the new ones; nil leaves that to the broker. The
// topic is as it was with validateOnly.
func (s *Store) AddPartitions(ctx context.Context, name string, count int32, assignments [][]int32, validateOnly bool) (*Topic, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.endTurn()
	for range attempts {
		view := s.View()
		old, ok := view.ByName(name)
		if !ok {
			return nil, kafka.UnknownTopicOrPartition
		}
		if err := s.checkGrowth(view, old, count, assignments); err != nil || validateOnly {
			return old, err
		}
		grown := *old
		grown.Partitions = count
		var t txnBuilder
		t.put(topicPrefix+name, old.revision, encodeTopic(&grown))
		revision, ok, err := s.txn(ctx, t.compares, t.ops)
		if err != nil {
			return nil, err
		}
		if ok {
			grown.revision = revision
			v := view.withTopics(&grown)
			v.Revision = revision
			s.publish(v)
			return &grown, nil
		}
	}
	return nil, fmt.Errorf("topic %s: %w", name, errContended)
}

func (s *Store) checkGrowth(v *View, t *Topic, count int32, assignments [][]int32) error {
	switch {
	case count == t.Partitions:
		return kafka.Errorf(kafka.InvalidPartitions, "Topic already has %d partition(s).", t.Partitions)
	case count < t.Partitions:
		return kafka.Errorf(kafka.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Name, t.Partitions, count)
	}
	more := count - t.Partitions
	if assignments != nil && len(assignments) != int(more) {
		return kafka.Errorf(kafka.InvalidReplicaAssignment, "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", more, len(assignments))
	}
	for _, replicas := range assignments {
		if err := s.checkReplicas(replicas); err != nil {
			return err
		}
	}
	return v.checkCap(int64(more))
}

// Target is a topic to be deleted.
type Target struct {
	Name string
	ID   kafka.TopicID // if not zero, the topic of the name must have it
}

// Delete deletes topics, each with its own outcome: nil, or UnknownTopicOrPartition. On return they are out of the view
// for good; their data goes later.
func (s *Store) Delete(ctx context.Context, targets ...Target) []error {
	out := make([]error, len(targets))
	fail := func(from int, err error) []error {
		for i := from; i < len(out); i++ {
			out[i] = err
		}
		return out
	}
	if err := s.begin(ctx); err != nil {
		return fail(0, err)
	}
	defer s.endTurn()
	for next, tries := 0, 0; next < len(targets); {
		view := s.View()
		var t txnBuilder
		var gone []*Topic
		end := next
		for ; end < len(targets) && len(gone) < txnTopics; end++ {
			topic, ok := view.ByName(targets[end].Name)
			if !ok || !targets[end].ID.IsZero() && topic.ID != targets[end].ID || slices.Contains(gone, topic) {
				out[end] = kafka.UnknownTopicOrPartition
				continue
			}
			out[end] = nil
			gone = append(gone, topic)
			t.delete(topicPrefix+topic.Name, topic.revision)
		}
		if len(gone) > 0 {
			revision, ok, err := s.txn(ctx, t.compares, t.ops)
			if err != nil {
				return fail(next, err)
			}
			if !ok {
				if tries++; tries == attempts {
					return fail(next, errContended)
				}
				continue
			}
			v := view.withoutTopics(gone...)
			v.Revision = revision
			s.publish(v)
		}
		next, tries = end, 0
	}
	return out
}
