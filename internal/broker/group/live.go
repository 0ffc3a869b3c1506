package group

import (
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// State is a state of a group.
type State int8

// The states of a group; Dead is the one that is not there. The two between Empty and Stable are those of classic groups,
// the two after it those of consumer groups.
const (
	Dead State = iota
	Empty
	PreparingRebalance
	CompletingRebalance
	Stable
	Assigning
	Reconciling
)

// String returns Kafka's name of the state.
func (s State) String() string {
	switch s {
	case Empty:
		return "Empty"
	case PreparingRebalance:
		return "PreparingRebalance"
	case CompletingRebalance:
		return "CompletingRebalance"
	case Stable:
		return "Stable"
	case Assigning:
		return "Assigning"
	case Reconciling:
		return "Reconciling"
	default:
		return "Dead"
	}
}

// consumerProtocolType is the protocol type of consumers; other programs (Connect, Schema Registry) have their own
// and opaque metadata.
const consumerProtocolType = "consumer"

// live is the live layer of one group.
type live struct {
	id           string
	state        State
	since        time.Time // when the state was entered
	generation   int32
	protocolType string
	protocol     string // of the current generation
	leader       string // member id, empty if there is none

	members  []*member // in the order of joining
	byID     map[string]*member
	static   map[string]*member        // by instance id
	pending  map[string]*machine.Alarm // ids that were given out and not used yet, with the end of the offer
	supports map[string]int            // members that support a protocol
	joining  int                       // members that wait in JoinGroup
	unsynced map[*member]struct{}      // members that have not called SyncGroup in this generation

	// initial holds during the first rebalance of a group that was Empty: it waits for the initial delay, not for
	// members, and again while more of them come, until extension is used up.
	initial    bool
	delay      time.Duration // the running wait
	extension  time.Duration // what may still be waited after it
	newcomers  bool          // somebody came in during the running wait
	joinExpiry machine.Alarm // ends PreparingRebalance
	syncExpiry machine.Alarm // ends the wait for SyncGroup

	subscribed      map[string]struct{} // topics that the members of the current generation read
	subscribedKnown bool
}

// restore builds the live layer of a group from its metadata, nil if it has none. Sessions are not started.
func restore(id string, metadata *offsetrecord.Metadata) *live {
	// The maps are made by the first member or offer: most groups that are restored are Empty, and only for a moment.
	g := &live{id: id, state: Empty}
	if metadata == nil {
		return g
	}
	g.protocolType = metadata.ProtocolType
	g.generation = metadata.Generation
	g.protocol = metadata.Protocol
	g.leader = metadata.Leader
	if metadata.StateTimestamp != offsetrecord.NoTimestamp {
		g.since = time.UnixMilli(metadata.StateTimestamp)
	}
	for i := range metadata.Members {
		from := &metadata.Members[i]
		g.add(&member{
			id:         from.ID,
			instanceID: from.InstanceID,
			clientID:   from.ClientID,
			clientHost: from.ClientHost,
			session:    time.Duration(from.SessionTimeoutMillis) * time.Millisecond,
			rebalance:  time.Duration(from.RebalanceTimeoutMillis) * time.Millisecond,
			protocols:  []Protocol{{Name: metadata.Protocol, Metadata: from.Subscription}},
			assignment: from.Assignment,
		})
	}
	if len(g.members) > 0 {
		g.state = Stable
	}
	g.updateSubscribed()
	return g
}

// metadata returns what the log is to know of the group.
func (g *live) metadata() *offsetrecord.Metadata {
	m := &offsetrecord.Metadata{
		ProtocolType:   g.protocolType,
		Generation:     g.generation,
		Protocol:       g.protocol,
		Leader:         g.leader,
		StateTimestamp: g.since.UnixMilli(),
	}
	for _, member := range g.members {
		m.Members = append(m.Members, offsetrecord.Member{
			ID:                     member.id,
			InstanceID:             member.instanceID,
			ClientID:               member.clientID,
			ClientHost:             member.clientHost,
			RebalanceTimeoutMillis: int32(member.rebalance.Milliseconds()),
			SessionTimeoutMillis:   int32(member.session.Milliseconds()),
			Subscription:           member.metadata(g.protocol),
			Assignment:             member.assignment,
		})
	}
	return m
}

// idle tells that the group has nothing that the durable layer does not know.
func (g *live) idle() bool { return g.state == Empty && len(g.members) == 0 && len(g.pending) == 0 }

// add takes m in. The first member is the leader, if the group has none.
func (g *live) add(m *member) {
	if g.byID == nil {
		g.byID, g.static = map[string]*member{}, map[string]*member{}
		g.supports, g.unsynced = map[string]int{}, map[*member]struct{}{}
	}
	g.members = append(g.members, m)
	g.byID[m.id] = m
	if m.instanceID != "" {
		g.static[m.instanceID] = m
	}
	g.countProtocols(m, 1)
	if g.leader == "" {
		g.leader = m.id
	}
}

// remove takes m out. Its requests must have been answered.
func (g *live) remove(m *member) {
	g.members = slices.DeleteFunc(g.members, func(other *member) bool { return other == m })
	delete(g.byID, m.id)
	if m.instanceID != "" && g.static[m.instanceID] == m {
		delete(g.static, m.instanceID)
	}
	delete(g.unsynced, m)
	g.countProtocols(m, -1)
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}

func (g *live) countProtocols(m *member, n int) {
	for i := range m.protocols {
		name := m.protocols[i].Name
		if g.supports[name] += n; g.supports[name] == 0 {
			delete(g.supports, name)
		}
	}
}

// rename gives a static member, which came back, its new id.
func (g *live) rename(m *member, id string) {
	delete(g.byID, m.id)
	if g.leader == m.id {
		g.leader = id
	}
	m.id = id
	g.byID[id] = m
}

// setProtocols replaces what m supports.
func (g *live) setProtocols(m *member, protocols []Protocol) {
	g.countProtocols(m, -1)
	m.protocols = protocols
	g.countProtocols(m, 1)
}

// accepts tells whether a member with this protocol type and these protocols fits to those that are there.
func (g *live) accepts(protocolType string, protocols []Protocol) bool {
	if protocolType == "" || len(protocols) == 0 {
		return false
	}
	if g.state == Empty && len(g.members) == 0 {
		return true
	}
	return protocolType == g.protocolType && slices.ContainsFunc(protocols, func(p Protocol) bool {
		return g.supports[p.Name] == len(g.members)
	})
}

// elect returns the protocol that all members support and most prefer; the first in the members' order wins a tie.
func (g *live) elect() string {
	votes := map[string]int{}
	elected := ""
	for _, m := range g.members {
		votes[m.vote(func(protocol string) bool { return g.supports[protocol] == len(g.members) })]++
	}
	for _, m := range g.members {
		for i := range m.protocols {
			if name := m.protocols[i].Name; votes[name] > votes[elected] {
				elected = name
			}
		}
	}
	return elected
}

// rebalanceTimeout is the longest of the members' ones.
func (g *live) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.members {
		longest = max(longest, m.rebalance)
	}
	return longest
}

// check returns nil if the id, and the instance id unless it is empty, name a member. Otherwise it returns
// kafka.FencedInstanceID if the instance is another member by now, or else kafka.UnknownMemberID.
func (g *live) check(memberID, instanceID string) (*member, kafka.Error) {
	if instanceID != "" {
		switch current := g.static[instanceID]; {
		case current == nil:
			return nil, kafka.UnknownMemberID
		case current.id != memberID:
			return nil, kafka.FencedInstanceID
		}
	}
	if m := g.byID[memberID]; m != nil {
		return m, kafka.None
	}
	return nil, kafka.UnknownMemberID
}

// joined returns the members for the answer to the leader.
func (g *live) joined() []JoinedMember {
	members := make([]JoinedMember, 0, len(g.members))
	for _, m := range g.members {
		members = append(members, JoinedMember{ID: m.id, InstanceID: m.instanceID, Metadata: m.metadata(g.protocol)})
	}
	return members
}

// joinReply is what m is told of the current generation.
func (g *live) joinReply(m *member) JoinReply {
	reply := JoinReply{
		MemberID:     m.id,
		Generation:   g.generation,
		ProtocolType: g.protocolType,
		Protocol:     g.protocol,
		Leader:       g.leader,
	}
	if m.id == g.leader {
		reply.Members = g.joined()
	}
	return reply
}
