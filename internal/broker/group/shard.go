package group

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// Shard is the state of all groups of one partition of __consumer_offsets. See the package comment for its layers.
type Shard struct {
	options Options
	durable durable
	live    map[string]*live
	// consumers are the clocks of groups of the consumer protocol, whose state is all durable.
	consumers map[string]*consumerLive
	// picture is the newest one of the topics that an event brought, nil before the first.
	picture Topics
	alarms  machine.Alarms
	cleanup machine.Alarm

	// now and decision belong to the event that is being handled.
	now      time.Time
	decision Decision
}

// NewShard returns a shard that knows no group. Replay its log, then Activate it.
func NewShard(options Options) *Shard {
	return &Shard{options: options.withDefaults(), durable: newDurable(), live: map[string]*live{}, consumers: map[string]*consumerLive{}}
}

// Replay applies one record of the shard's partition. It must be called for each record from the log's start on, in
// order, before Activate; records that Handle returned were applied already.
// in is the transaction that it is part of, nil if none.
func (s *Shard) Replay(r Record, in *machine.Producer) { s.durable.apply(r, in) }

// ReplayMarker applies the end of a transaction, in the order of the log.
func (s *Shard) ReplayMarker(m machine.Marker) { s.durable.endTransaction(m) }

// Activate ends the replay: groups with members become Stable and get their sessions. A group that has more members
// than it may have by now is rebalanced.
func (s *Shard) Activate(now time.Time) Decision {
	s.now, s.decision = now, Decision{}
	for _, id := range slices.Sorted(maps.Keys(s.durable.groups)) {
		metadata := s.durable.groups[id].metadata
		if metadata == nil || len(metadata.Members) == 0 {
			continue
		}
		g := s.open(id)
		for _, m := range g.members {
			s.startSession(g, m)
		}
		if len(g.members) > s.options.MaxSize {
			s.prepareRebalance(g, "the group is larger than group.max.size")
		}
	}
	s.activateConsumers()
	s.durable.heardOfProducers(now)
	s.cleanup.Fire = s.expireOffsets
	s.alarms.Set(&s.cleanup, now.Add(s.options.CleanupInterval))
	return s.take()
}

// NextAlarm returns when Tick is to be handled, at the latest. A Tick that comes early does no harm.
func (s *Shard) NextAlarm() time.Time { return s.alarms.Next() }

// Handle decides what e means at time now; see Decision for what the caller owes. The shard must be active. An event of
// a type that is not this package's own is a fault of the caller and panics.
func (s *Shard) Handle(id RequestID, e Event, now time.Time) Decision {
	s.now, s.decision = now, Decision{}
	switch e := e.(type) {
	case Join:
		s.join(id, &e)
		s.settle(e.Group)
	case Sync:
		s.sync(id, &e)
		s.settle(e.Group)
	case Heartbeat:
		s.reply(id, s.heartbeat(&e))
		s.settle(e.Group)
	case Leave:
		s.reply(id, s.leave(&e))
		s.settle(e.Group)
	case ConsumerHeartbeat:
		s.reply(id, s.consumerHeartbeat(&e))
		s.settle(e.Group)
	case ConsumerDescribe:
		s.reply(id, s.consumerDescribe(&e))
	case Commit:
		s.reply(id, s.commit(&e))
		s.settle(e.Group)
	case TxnBegin:
		s.reply(id, s.txnBegin(e.Producer))
	case TxnCommit:
		s.reply(id, s.txnCommit(&e))
		s.settle(e.Group)
	case EndTransaction:
		s.reply(id, s.endTransaction(e.Marker))
	case Fetch:
		s.reply(id, s.fetch(&e))
	case DeleteOffsets:
		s.reply(id, s.deleteOffsets(&e))
		s.settle(e.Group)
	case DeleteGroup:
		s.reply(id, s.deleteGroup(e.Group))
		s.settle(e.Group)
	case Describe:
		s.reply(id, s.describe(e.Group))
	case List:
		s.reply(id, s.list())
	case Snapshot:
		s.reply(id, s.snapshot(e.Pending))
	case TopicsDeleted:
		s.deleteTopics(e.Topics)
		s.reply(id, kafka.None)
	case Tick:
		for a := s.alarms.Pop(now); a != nil; a = s.alarms.Pop(now) {
			a.Fire()
		}
	default:
		panic(fmt.Sprintf("group: event of unknown type %T", e))
	}
	return s.take()
}

func (s *Shard) take() Decision {
	d := s.decision
	s.decision = Decision{}
	return d
}

// emit adds a record to the decision and applies it, the same way that a replay will.
func (s *Shard) emit(r Record) {
	s.decision.Records = append(s.decision.Records, r)
	s.Replay(r, s.decision.Transaction)
}

func (s *Shard) emitMetadata(g *live) {
	s.emit(Record{Kind: offsetrecord.KindMetadata, Group: g.id, Metadata: g.metadata()})
}

// reply answers a request; NoRequest is nobody's.
func (s *Shard) reply(id RequestID, body any) {
	if id != NoRequest {
		s.decision.Replies = append(s.decision.Replies, Reply{Request: id, Body: body})
	}
}

func (s *Shard) replyJoinError(id RequestID, memberID string, err kafka.Error) {
	s.reply(id, JoinReply{Err: err, MemberID: memberID, Generation: NoGeneration})
}

// find returns the live layer of a classic group, made from the durable one if need be, or nil if there is no such group.
// Callers that change the group settle it afterwards.
func (s *Shard) find(id string) *live {
	if s.live[id] == nil && s.durable.groups[id] == nil || s.consumerOf(id) != nil {
		return nil
	}
	return s.open(id)
}

// open is find for a group that may be new.
func (s *Shard) open(id string) *live {
	g := s.live[id]
	if g != nil {
		return g
	}
	var metadata *offsetrecord.Metadata
	if stored := s.durable.groups[id]; stored != nil {
		metadata = stored.metadata
	}
	g = restore(id, metadata)
	s.keep(g)
	return g
}

// keep makes g the live layer of its group.
func (s *Shard) keep(g *live) {
	g.joinExpiry.Fire = func() { s.joinExpired(g); s.settle(g.id) }
	g.syncExpiry.Fire = func() { s.syncExpired(g); s.settle(g.id) }
	s.live[g.id] = g
}

// settle forgets the live layer of a group that needs none.
func (s *Shard) settle(id string) {
	if g := s.live[id]; g != nil && g.idle() {
		delete(s.live, id)
	}
}

// enter moves g to a state.
func (s *Shard) enter(g *live, state State, reason string) {
	g.state, g.since = state, s.now
	s.decision.Changes = append(s.decision.Changes, Change{
		Group: g.id, State: state, Generation: g.generation, Members: len(g.members), Reason: reason,
	})
}

// startSession gives m a whole session from now on.
func (s *Shard) startSession(g *live, m *member) {
	s.setExpiry(g, m, m.session)
}

func (s *Shard) setExpiry(g *live, m *member, timeout time.Duration) {
	if m.expiry.Fire == nil {
		m.expiry.Fire = func() { s.sessionExpired(g, m); s.settle(g.id) }
	}
	s.alarms.Set(&m.expiry, s.now.Add(timeout))
}

func (s *Shard) stop(a *machine.Alarm) { s.alarms.Set(a, time.Time{}) }
