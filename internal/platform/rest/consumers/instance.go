package consumers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Partition names a partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// Instance is one consumer. See the package comment.
type Instance struct {
	manager *Manager
	key     key
	config  Config
	dial    Dial

	// Guarded by Manager.mu.
	touched time.Time
	inUse   int

	turn chan struct{} // holds one while a method runs; guards what follows

	closed  bool
	client  *kgo.Client
	topics  []string // subscribed by name
	pattern string   // or by pattern
	manual  []Partition
	pending []*kgo.Record        // fetched, not yet delivered
	read    map[Partition]Offset // delivered and not yet committed: the next offset

	mu       sync.Mutex // guards assigned, which callbacks of the client change
	assigned map[Partition]bool
}

// Offset is that of the next record to read, with the leader epoch of the one before and what the client wants noted.
type Offset struct {
	At       int64
	Epoch    int32
	Metadata string
}

// Config returns how the instance was made.
func (i *Instance) Config() Config { return i.config }

// begin waits for the instance's turn; the function that it returns ends it.
func (i *Instance) begin(ctx context.Context) (func(), error) {
	i.use(1)
	select {
	case i.turn <- struct{}{}:
	case <-ctx.Done():
		i.use(-1)
		return nil, ctx.Err()
	}
	if i.closed {
		<-i.turn
		i.use(-1)
		return nil, ErrNotFound
	}
	return func() {
		<-i.turn
		i.use(-1)
	}, nil
}

func (i *Instance) use(n int) {
	i.manager.mu.Lock()
	i.inUse += n
	i.touched = time.Now()
	i.manager.mu.Unlock()
}

// closeWait bounds how long leaving a group may take.
const closeWait = 5 * time.Second

func (i *Instance) close(ctx context.Context) {
	i.turn <- struct{}{}
	defer func() { <-i.turn }()
	i.closed = true
	i.drop(ctx)
}

// drop gives the client up, and its membership. What auto commit has not committed it commits.
func (i *Instance) drop(ctx context.Context) {
	if i.client == nil {
		return
	}
	if i.config.AutoCommit && len(i.manual) == 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
		if err := i.client.CommitMarkedOffsets(ctx); err != nil {
			i.manager.o.Logger.Debug("the last commit of a consumer instance failed", "group", i.key.group, "err", err)
		}
		cancel()
	}
	i.client.CloseAllowingRebalance()
	i.client, i.topics, i.pattern, i.manual, i.pending, i.read = nil, nil, "", nil, nil, nil
	i.mu.Lock()
	i.assigned = nil
	i.mu.Unlock()
}

// Sizes of what a client fetches ahead.
const (
	fetchBytes  = 4 << 20
	pollRecords = 500
)

func (i *Instance) options() []kgo.Opt {
	reset := kgo.NewOffset().AtEnd()
	switch i.config.OffsetReset {
	case "earliest":
		reset = kgo.NewOffset().AtStart()
	case "none":
		reset = kgo.NoResetOffset()
	}
	return []kgo.Opt{
		kgo.ConsumeResetOffset(reset), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes), kgo.MaxConcurrentFetches(1),
		kgo.FetchMaxWait(time.Second), kgo.DisableClientMetrics(),
	}
}

// Subscribe joins the group for topics by name, or by a regular expression that their whole names match.
func (i *Instance) Subscribe(ctx context.Context, topics []string, pattern string) error {
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if len(i.manual) > 0 || (pattern != "") == (len(topics) > 0) || len(i.topics) > 0 && pattern != "" || i.pattern != "" && len(topics) > 0 {
		return fmt.Errorf("%w: %w", ErrIllegalState, ErrAlreadySubscribed)
	}
	if pattern != "" {
		if _, err := regexp.Compile(pattern); err != nil {
			return fmt.Errorf("%w: topic_pattern: %w", ErrConfig, err)
		}
	}
	topics = slices.Compact(slices.Sorted(slices.Values(topics)))
	if i.client != nil && pattern == i.pattern && slices.Equal(topics, i.topics) {
		return nil
	}
	i.drop(ctx)
	opts := append(i.options(),
		kgo.ConsumerGroup(i.key.group), kgo.OnPartitionsAssigned(i.gained), kgo.OnPartitionsRevoked(i.lost), kgo.OnPartitionsLost(i.lost),
	)
	if pattern != "" {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:"+pattern+")$"))
	} else {
		opts = append(opts, kgo.ConsumeTopics(topics...))
	}
	if i.config.AutoCommit {
		opts = append(opts, kgo.AutoCommitMarks())
	} else {
		opts = append(opts, kgo.DisableAutoCommit())
	}
	client, err := i.dial(opts...)
	if err != nil {
		return err
	}
	i.client, i.topics, i.pattern, i.read = client, topics, pattern, map[Partition]Offset{}
	return nil
}

func (i *Instance) gained(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.assigned == nil {
		i.assigned = map[Partition]bool{}
	}
	for t, ps := range partitions {
		for _, p := range ps {
			i.assigned[Partition{t, p}] = true
		}
	}
}

func (i *Instance) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for t, ps := range partitions {
		for _, p := range ps {
			delete(i.assigned, Partition{t, p})
		}
	}
}

// Subscription returns the topics that the instance is subscribed to; for a pattern, those that it was assigned partitions of.
func (i *Instance) Subscription(ctx context.Context) ([]string, error) {
	done, err := i.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if i.pattern == "" {
		return slices.Clone(i.topics), nil
	}
	var topics []string
	for _, p := range i.partitions() {
		topics = append(topics, p.Topic)
	}
	return slices.Compact(slices.Sorted(slices.Values(topics))), nil
}

// Unsubscribe leaves the group, or gives up the partitions.
func (i *Instance) Unsubscribe(ctx context.Context) error {
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	i.drop(ctx)
	return nil
}

// Assign reads partitions without being a member: from what the group has committed, or else from where OffsetReset says. None gives all
// up.
func (i *Instance) Assign(ctx context.Context, partitions []Partition) error {
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if len(i.topics) > 0 || i.pattern != "" {
		return fmt.Errorf("%w: %w", ErrIllegalState, ErrAlreadySubscribed)
	}
	i.drop(ctx)
	if len(partitions) == 0 {
		return nil
	}
	opts := i.options()
	lister, err := i.dial(kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer lister.Close()
	committed, err := committedOf(ctx, lister, i.key.group, partitions)
	if err != nil {
		return err
	}
	at := map[string]map[int32]kgo.Offset{}
	for _, p := range partitions {
		o := kgo.NewOffset().AtEnd()
		if c, ok := committed[p]; ok {
			o = kgo.NewOffset().At(c.At)
		} else if i.config.OffsetReset == "earliest" {
			o = kgo.NewOffset().AtStart()
		}
		if at[p.Topic] == nil {
			at[p.Topic] = map[int32]kgo.Offset{}
		}
		at[p.Topic][p.Partition] = o
	}
	client, err := i.dial(append(opts, kgo.ConsumePartitions(at))...)
	if err != nil {
		return err
	}
	i.client, i.manual, i.read = client, slices.Clone(partitions), map[Partition]Offset{}
	i.mu.Lock()
	i.assigned = map[Partition]bool{}
	for _, p := range partitions {
		i.assigned[p] = true
	}
	i.mu.Unlock()
	return nil
}

// Assignment returns the partitions that the instance reads now, in order.
func (i *Instance) Assignment(ctx context.Context) ([]Partition, error) {
	done, err := i.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return i.partitions(), nil
}

func (i *Instance) partitions() []Partition {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.SortedFunc(maps.Keys(i.assigned), func(a, b Partition) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition - b.Partition)
	})
}

// requireAssigned fails for partitions that the instance does not read.
func (i *Instance) requireAssigned(partitions []Partition) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range partitions {
		if !i.assigned[p] {
			return fmt.Errorf("%w: No current assignment for partition %s-%d", ErrIllegalState, p.Topic, p.Partition)
		}
	}
	return nil
}

// committedOf returns what a group has committed of partitions; those without a commit are not in it.
func committedOf(ctx context.Context, cl *kgo.Client, group string, partitions []Partition) (map[Partition]Offset, error) {
	var topics []string
	for _, p := range partitions {
		topics = append(topics, p.Topic)
	}
	listed, err := kadm.NewClient(cl).FetchOffsetsForTopics(ctx, group, topics...)
	if err != nil {
		return nil, fmt.Errorf("committed offsets of group %s: %w", group, err)
	}
	out := map[Partition]Offset{}
	for _, p := range partitions {
		o, ok := listed.Lookup(p.Topic, p.Partition)
		if ok && o.Err != nil && !errors.Is(o.Err, kerr.UnknownTopicOrPartition) {
			return nil, fmt.Errorf("committed offset of %s-%d: %w", p.Topic, p.Partition, o.Err)
		}
		if ok && o.Err == nil && o.At >= 0 {
			out[p] = Offset{o.At, o.LeaderEpoch, o.Metadata}
		}
	}
	return out, nil
}
