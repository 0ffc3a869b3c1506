package share

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/sharerecord"
)

// Key names a share partition.
type Key = sharerecord.Key

// Batch is the state of a stretch of records, both ends included.
type Batch = sharerecord.Batch

// NoOffset is a start offset that is not known, or not to be changed.
const NoOffset int64 = -1

// NoEpoch is an epoch that is not to be checked.
const NoEpoch int32 = -1

// maxBatches bounds how many batches the state of a share partition may have. A window of ten thousand records, the most
// that may be in flight, has ten thousand at the worst.
const maxBatches = 20_000

// StateOptions are the settings of States. The zero value of a field means its default.
type StateOptions struct {
	// UpdatesPerSnapshot is how many updates follow a snapshot before there is another one:
	// share.coordinator.snapshot.update.records.per.snapshot; default 500, negative: none.
	UpdatesPerSnapshot int
	// PruneInterval is how often it is looked whether the topic holds much that is redundant; default 5 min.
	PruneInterval time.Duration
}

// InitState makes the state of a share partition, or makes it anew for a later epoch. Its reply is an error or nil in a
// StateReply.
type InitState struct {
	Key        Key
	StateEpoch int32
	Start      int64
	Exists     bool // whether there is such a partition
}

// ReadState asks for a state. A leader epoch that is later than the one before is kept. Its reply is a StateReply.
type ReadState struct {
	Key         Key
	LeaderEpoch int32
	Exists      bool
}

// WriteState adds to a state. Its reply is a StateReply, of which Err alone counts.
type WriteState struct {
	Key                     Key
	StateEpoch, LeaderEpoch int32
	Start                   int64 // NoOffset: as before
	DeliveryComplete        int32
	Batches                 []Batch
	Exists                  bool
}

// DeleteState ends a state; one that is not there is as good as deleted. Its reply is a StateReply, of which Err alone
// counts.
type DeleteState struct {
	Key    Key
	Exists bool
}

// SummarizeState asks for a state without its batches; one that is not there begins nowhere. Its reply is a StateReply.
type SummarizeState struct {
	Key    Key
	Exists bool
}

// ForgetTopics deletes the states of topics that are gone. Its reply is a StateReply.
type ForgetTopics struct{ Topics []kafka.TopicID }

// StateReply answers the events of States.
type StateReply struct {
	Err                     error
	StateEpoch, LeaderEpoch int32
	Start                   int64
	DeliveryComplete        int32
	Batches                 []Batch
}

// States is the machine of one partition of __share_group_state.
type States struct {
	options StateOptions
	states  map[Key]*state
	// records counts those since the last round of snapshots, due is when to look for another.
	records int
	due     time.Time
	// waiting tells that the end of the last round is not noted yet.
	waiting bool

	now      time.Time
	decision machine.Decision
}

// state is one share partition's. updates counts those since the snapshot. leader is the highest leader epoch seen, which
// outlives a state that is made anew.
type state struct {
	sharerecord.Snapshot
	updates int
	leader  int32
}

// NewStates returns the machine of a partition that holds nothing.
func NewStates(o StateOptions) *States {
	if o.UpdatesPerSnapshot == 0 {
		o.UpdatesPerSnapshot = 500
	}
	if o.PruneInterval == 0 {
		o.PruneInterval = 5 * time.Minute
	}
	return &States{options: o, states: map[Key]*state{}}
}

// Replay applies one record of the partition.
func (s *States) Replay(r Record, _ *machine.Producer) error {
	decoded, err := sharerecord.DecodeState(r.Key, r.Value)
	if errors.Is(err, sharerecord.ErrUnknownKind) {
		return fmt.Errorf("%w: %w", machine.ErrUnknownKind, err)
	}
	if err != nil {
		return err
	}
	s.apply(&decoded)
	return nil
}

// ReplayMarker ends a transaction; no record of a state is in one.
func (s *States) ReplayMarker(machine.Marker) {}

// Activate ends the replay.
func (s *States) Activate(now time.Time) machine.Decision {
	s.due = now.Add(s.options.PruneInterval)
	return machine.Decision{}
}

// NextAlarm returns when a Tick is due.
func (s *States) NextAlarm() time.Time { return s.due }

// Handle decides what event means at time now.
func (s *States) Handle(id machine.RequestID, event any, now time.Time) machine.Decision {
	s.now, s.decision = now, machine.Decision{}
	var r StateReply
	var body any
	switch e := event.(type) {
	case machine.Tick:
		s.tick()
	case InitState:
		r.Err = s.init(&e)
	case ReadState:
		r = s.read(&e)
	case WriteState:
		r.Err = s.write(&e)
	case DeleteState:
		r.Err = s.delete(&e)
	case SummarizeState:
		r = s.summarize(&e)
	case ForgetTopics:
		s.forget(e.Topics)
	case KnownTopics:
		known := map[kafka.TopicID]bool{}
		for k := range s.states {
			known[k.Topic] = true
		}
		body = slices.SortedFunc(maps.Keys(known), sharerecord.CompareIDs)
	case RoundNoted:
		s.waiting = false
	default:
		panic(fmt.Sprintf("share: event of unknown type %T", event))
	}
	if body == nil {
		body = r
	}
	if id != machine.NoRequest {
		s.decision.Replies = append(s.decision.Replies, machine.Reply{Request: id, Body: body})
	}
	d := s.decision
	s.decision = machine.Decision{}
	return d
}

// pruneRecords is the least number of records that a round of snapshots is worth.
const pruneRecords = 500

// Round is the effect that tells that a snapshot of every share partition has been written since the Round before, so
// that whatever was in the log when that one was noted is redundant now. The topic is not compacted: updates of one key
// add up. RoundNoted is to follow.
type Round struct{}

// RoundNoted says that the log's end was noted after a Round. Its reply is a StateReply.
type RoundNoted struct{}

// tick writes a snapshot of every share partition if there are many records for each.
func (s *States) tick() {
	if s.now.Before(s.due) {
		return
	}
	s.due = s.now.Add(s.options.PruneInterval)
	if s.waiting || s.records < max(pruneRecords, 4*len(s.states)) {
		return
	}
	for _, k := range s.keys() {
		next := s.states[k].Snapshot
		next.SnapshotEpoch++
		next.LeaderEpoch, next.Written = s.states[k].leader, s.now.UnixMilli()
		s.emit(sharerecord.StateRecord{Key: k, Snapshot: &next})
	}
	s.records, s.waiting = 0, true
	s.decision.Effects = append(s.decision.Effects, Round{})
}

func (s *States) keys() []Key {
	return slices.SortedFunc(maps.Keys(s.states), func(a, b Key) int { return strings.Compare(a.String(), b.String()) })
}

func (s *States) emit(r sharerecord.StateRecord) {
	s.decision.Records = append(s.decision.Records, Record{Key: r.AppendKey(nil), Value: r.EncodeValue()})
	s.apply(&r)
}

// apply is the one place where records change the state.
func (s *States) apply(r *sharerecord.StateRecord) {
	s.records++
	switch {
	case r.Snapshot != nil:
		next := &state{Snapshot: *r.Snapshot, leader: r.Snapshot.LeaderEpoch}
		if st := s.states[r.Key]; st != nil {
			next.leader = max(next.leader, st.leader)
		}
		s.states[r.Key] = next
	case r.Update != nil:
		st := s.states[r.Key]
		// An update without a snapshot belongs to what was deleted or pruned.
		if st == nil || r.Update.SnapshotEpoch != st.SnapshotEpoch {
			return
		}
		st.updates++
		st.LeaderEpoch = max(st.LeaderEpoch, r.Update.LeaderEpoch)
		st.leader = max(st.leader, st.LeaderEpoch)
		if r.Update.Start != NoOffset {
			st.Start = r.Update.Start
		}
		st.DeliveryComplete = r.Update.DeliveryComplete
		st.Batches = merge(st.Batches, r.Update.Batches, st.Start)
	case !r.IsUpdate:
		delete(s.states, r.Key)
	}
}

// checkKey tells whether a request names a partition at all.
func checkKey(k Key) error {
	switch {
	case k.Topic == kafka.TopicID{}:
		return kafka.Errorf(kafka.InvalidRequest, "The topic id is missing.")
	case k.Partition < 0:
		return kafka.Errorf(kafka.InvalidRequest, "The partition id cannot be a negative number.")
	}
	return nil
}

func (s *States) init(e *InitState) error {
	if err := checkKey(e.Key); err != nil {
		return err
	}
	st := s.states[e.Key]
	switch {
	case st != nil && e.StateEpoch != NoEpoch && e.StateEpoch < st.StateEpoch:
		return kafka.FencedStateEpoch
	case !e.Exists:
		return kafka.UnknownTopicOrPartition
	}
	next := sharerecord.Snapshot{StateEpoch: max(e.StateEpoch, 0), Start: e.Start, Created: s.now.UnixMilli(), Written: s.now.UnixMilli()}
	if e.Start == NoOffset {
		next.DeliveryComplete = sharerecord.NoCount
	}
	if st != nil {
		next.SnapshotEpoch = st.SnapshotEpoch + 1
	}
	s.emit(sharerecord.StateRecord{Key: e.Key, Snapshot: &next})
	return nil
}

func (s *States) read(e *ReadState) StateReply {
	if err := checkKey(e.Key); err != nil {
		return StateReply{Err: err}
	}
	st := s.states[e.Key]
	switch {
	case st == nil:
		return StateReply{Err: kafka.Errorf(kafka.InvalidRequest, "The share partition was not initialized: it cannot be read.")}
	case e.LeaderEpoch != NoEpoch && e.LeaderEpoch < st.leader:
		return StateReply{Err: kafka.FencedLeaderEpoch}
	case !e.Exists:
		return StateReply{Err: kafka.UnknownTopicOrPartition}
	}
	if e.LeaderEpoch > st.LeaderEpoch {
		s.append(e.Key, st, sharerecord.Update{LeaderEpoch: e.LeaderEpoch, Start: st.Start, DeliveryComplete: st.DeliveryComplete})
	}
	return s.reply(e.Key)
}

func (s *States) reply(k Key) StateReply {
	st := s.states[k]
	return StateReply{
		StateEpoch: st.StateEpoch, LeaderEpoch: st.LeaderEpoch, Start: st.Start, DeliveryComplete: st.DeliveryComplete, Batches: slices.Clone(st.Batches),
	}
}

func (s *States) write(e *WriteState) error {
	if err := checkKey(e.Key); err != nil {
		return err
	}
	st := s.states[e.Key]
	switch {
	case st == nil:
		return kafka.Errorf(kafka.InvalidRequest, "The share partition was not initialized: it cannot be written.")
	case e.LeaderEpoch != NoEpoch && e.LeaderEpoch < st.leader:
		return kafka.FencedLeaderEpoch
	case e.StateEpoch != NoEpoch && e.StateEpoch < st.StateEpoch:
		return kafka.FencedStateEpoch
	case !e.Exists:
		return kafka.UnknownTopicOrPartition
	case len(st.Batches)+len(e.Batches) > maxBatches:
		return kafka.Errorf(kafka.InvalidRequest, "The state of a share partition has %d batches at most.", maxBatches)
	case slices.ContainsFunc(e.Batches, func(b Batch) bool { return b.First < 0 || b.Last < b.First }):
		return kafka.Errorf(kafka.InvalidRequest, "A batch of the state has no sense.")
	}
	s.append(e.Key, st, sharerecord.Update{
		LeaderEpoch: max(e.LeaderEpoch, st.LeaderEpoch), Start: e.Start, DeliveryComplete: e.DeliveryComplete, Batches: merge(nil, e.Batches, NoOffset),
	})
	return nil
}

// append records a change as an update, or, when there were many, as a snapshot.
func (s *States) append(k Key, st *state, u sharerecord.Update) {
	start := st.Start
	if u.Start != NoOffset {
		start = u.Start
	}
	if st.updates >= s.options.UpdatesPerSnapshot {
		next := st.Snapshot
		next.SnapshotEpoch++
		next.LeaderEpoch, next.Start, next.DeliveryComplete, next.Written = u.LeaderEpoch, start, u.DeliveryComplete, s.now.UnixMilli()
		next.Batches = merge(st.Batches, u.Batches, start)
		s.emit(sharerecord.StateRecord{Key: k, Snapshot: &next})
		return
	}
	u.SnapshotEpoch = st.SnapshotEpoch
	s.emit(sharerecord.StateRecord{Key: k, IsUpdate: true, Update: &u})
}

func (s *States) delete(e *DeleteState) error {
	if err := checkKey(e.Key); err != nil {
		return err
	}
	if !e.Exists {
		return kafka.UnknownTopicOrPartition
	}
	s.drop(e.Key)
	return nil
}

// drop deletes a state, if it is there.
func (s *States) drop(k Key) {
	if s.states[k] != nil {
		s.emit(sharerecord.StateRecord{Key: k})
	}
}

func (s *States) summarize(e *SummarizeState) StateReply {
	if err := checkKey(e.Key); err != nil {
		return StateReply{Err: err}
	}
	if !e.Exists {
		return StateReply{Err: kafka.UnknownTopicOrPartition}
	}
	if s.states[e.Key] == nil {
		return StateReply{Start: NoOffset, DeliveryComplete: sharerecord.NoCount}
	}
	r := s.reply(e.Key)
	r.Batches = nil
	return r
}

func (s *States) forget(topics []kafka.TopicID) {
	for _, k := range s.keys() {
		if slices.Contains(topics, k.Topic) {
			s.drop(k)
		}
	}
}
