package torture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// session is how long a member of a group may be silent, and rebalance how long it may take to give up what it has.
const (
	session   = 3 * time.Second
	rebalance = 5 * time.Second
	beat      = 250 * time.Millisecond
)

// member is a member of a group, request by request, so that it can be silent, or gone, at any point. Offsets that it commits
// count up from the last committed one; nothing is read. One goroutine uses it, but for owned and String.
type member struct {
	group, name string
	topic       string
	topicID     [16]byte
	client      *kgo.Client
	ownership   *Ownership

	id    string
	epoch int32 // or generation
	// joined tells that the group gave the member an assignment and did not take it back, as far as the member knows.
	joined bool
	lease  time.Time // a session after the last sign of life that was answered

	mu     sync.Mutex
	claims map[int32]*Claim
	failed error // the last step, if it did
	failAt time.Time

	next map[int32]int64 // offset to commit
}

// protocol is what the two kinds of groups do differently. Errors other than errGone are worth another try.
type protocol interface {
	// join makes the member one of the group.
	join(ctx context.Context, m *member) error
	// beat tells that the member lives, and takes and gives up partitions.
	beat(ctx context.Context, m *member) error
	leave(ctx context.Context, m *member) error
}

// errGone says that the group does not know the member any more.
var errGone = errors.New("no member any more")

func newMember(addr, group, topic, name string, o *Ownership) (*member, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(addr, ",")...), kgo.DialTimeout(time.Second), kgo.RequestRetries(0), kgo.RequestTimeoutOverhead(2*time.Second), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return nil, err
	}
	return &member{group: group, name: name, topic: topic, client: cl, ownership: o, claims: map[int32]*Claim{}, next: map[int32]int64{}}, nil
}

// send sends a request once, to the coordinator of the group as far as the client knows it.
func send[Res kmsg.Response](ctx context.Context, m *member, req kmsg.Request, _ Res) (res Res, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*rebalance)
	defer cancel()
	answer, err := m.client.Request(ctx, req)
	if err != nil {
		return res, err
	}
	return answer.(Res), nil //nolint:errcheck,forcetypeassert // the answer to a request is its response
}

// gone tells errors that end a membership from those that pass.
func gone(code int16) error {
	err := kerr.ErrorForCode(code)
	switch {
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.FencedMemberEpoch), errors.Is(err, kerr.StaleMemberEpoch):
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// lives notes a request, sent at a time, by which the group knows that the member lives.
func (m *member) lives(sent time.Time) { m.lease = sent.Add(session) }

// owned returns the partitions that the member has.
func (m *member) owned() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.claims))
}

// giveUp ends claims, all of them if none are named: now, or when the lease ended.
func (m *member) giveUp(partitions ...int32) {
	until := time.Now()
	if m.lease.Before(until) {
		until = m.lease
	}
	m.drop(until, partitions...)
}

// note keeps how the last step ended.
func (m *member) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed, m.failAt = err, time.Now()
}

// String tells how the member is.
func (m *member) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("%s with %d at %s: %v", m.name, len(m.claims), m.failAt.Format("15:04:05.000"), m.failed)
}

func (m *member) drop(until time.Time, partitions ...int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(partitions) == 0 {
		partitions = slices.Collect(maps.Keys(m.claims))
	}
	for _, p := range partitions {
		m.ownership.End(m.claims[p], until)
		delete(m.claims, p)
	}
}

// take claims partitions and reads where to go on.
func (m *member) take(ctx context.Context, partitions []int32) error {
	m.mu.Lock()
	for _, p := range partitions {
		if m.claims[p] == nil {
			m.claims[p] = m.ownership.Begin(m.name, p)
			delete(m.next, p)
		}
	}
	m.mu.Unlock()
	return m.position(ctx)
}

// position reads the committed offsets of partitions of which the member does not know where to go on.
func (m *member) position(ctx context.Context) error {
	var unknown []int32
	for _, p := range m.owned() {
		if _, known := m.next[p]; !known {
			unknown = append(unknown, p)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	got, err := m.readCommitted(ctx, unknown)
	if err != nil {
		return err
	}
	for p, offset := range got {
		m.next[p] = offset + 1
	}
	return nil
}

// readCommitted reads committed offsets, as anybody may.
func (m *member) readCommitted(ctx context.Context, partitions []int32) (map[int32]int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = m.group
	topic := kmsg.NewOffsetFetchRequestGroupTopic()
	topic.Topic, topic.TopicID, topic.Partitions = m.topic, m.topicID, partitions
	group.Topics = append(group.Topics, topic)
	req.Groups = append(req.Groups, group)
	sent := time.Now()
	res, err := send(ctx, m, req, &kmsg.OffsetFetchResponse{})
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(res.Groups[0].ErrorCode); err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	for _, p := range res.Groups[0].Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return nil, err
		}
		m.ownership.Read(Reading{p.Partition, p.Offset, sent})
		offsets[p.Partition] = p.Offset
	}
	return offsets, nil
}

// commit commits the next offset of each of partitions, and returns how many were acknowledged.
func (m *member) commit(ctx context.Context, partitions []int32) (acknowledged int, err error) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = m.group, m.id, m.epoch
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = m.topic, m.topicID
	for _, index := range partitions {
		if _, known := m.next[index]; !known {
			continue
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = index, m.next[index]
		m.next[index]++
		topic.Partitions = append(topic.Partitions, p)
	}
	if len(topic.Partitions) == 0 {
		return 0, nil
	}
	req.Topics = append(req.Topics, topic)
	sent := time.Now()
	res, err := send(ctx, m, req, &kmsg.OffsetCommitResponse{})
	done, codes := time.Now(), map[int32]int16{}
	if err == nil {
		for _, p := range res.Topics[0].Partitions {
			codes[p.Partition] = p.ErrorCode
			err = errors.Join(err, gone(p.ErrorCode))
		}
	}
	for _, p := range topic.Partitions {
		code, answered := codes[p.Partition]
		ok := answered && code == 0
		if ok {
			acknowledged++
		}
		m.ownership.Committed(Commit{m.name, p.Partition, p.Offset, sent, done, ok})
	}
	return acknowledged, err
}

// findTopic reads the topic's id and the number of its partitions.
func (m *member) findTopic(ctx context.Context) (partitions int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	details, err := kadm.NewClient(m.client).ListTopics(ctx, m.topic)
	if err = errors.Join(err, details.Error()); err != nil {
		return 0, err
	}
	m.topicID = details[m.topic].ID
	return len(details[m.topic].Partitions), nil
}

// consumerProtocol is that of KIP-848.
type consumerProtocol struct{}

func (consumerProtocol) request(m *member) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = m.group, m.id, m.epoch, int32(rebalance.Milliseconds())
	req.SubscribedTopicNames = []string{m.topic}
	owned := kmsg.NewConsumerGroupHeartbeatRequestTopic()
	owned.TopicID, owned.Partitions = m.topicID, m.owned()
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if len(owned.Partitions) > 0 {
		req.Topics = append(req.Topics, owned)
	}
	return req
}

func (c consumerProtocol) join(ctx context.Context, m *member) error {
	if _, err := m.findTopic(ctx); err != nil {
		return err
	}
	m.id, m.epoch = m.name, 0
	return c.beat(ctx, m)
}

func (c consumerProtocol) beat(ctx context.Context, m *member) error {
	sent := time.Now()
	res, err := send(ctx, m, c.request(m), &kmsg.ConsumerGroupHeartbeatResponse{})
	if err == nil {
		err = gone(res.ErrorCode)
	}
	if err != nil {
		return err
	}
	m.lives(sent)
	m.epoch, m.joined = res.MemberEpoch, true
	if res.Assignment == nil {
		return m.position(ctx)
	}
	var mine []int32
	for _, t := range res.Assignment.Topics {
		mine = append(mine, t.Partitions...)
	}
	for _, p := range m.owned() {
		if !slices.Contains(mine, p) {
			m.giveUp(p)
		}
	}
	return m.take(ctx, mine)
}

func (c consumerProtocol) leave(ctx context.Context, m *member) error {
	m.giveUp()
	m.epoch = -1
	_, err := send(ctx, m, c.request(m), &kmsg.ConsumerGroupHeartbeatResponse{})
	return err
}
