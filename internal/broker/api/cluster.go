package api

import (
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// What handlers say of the cluster. Who owns a shard is read from one View for each answer; it may be outdated. Whether
// this broker serves a partition is never decided by it, but by storage.

// neighbours is the cluster as the clients of one listener see it, at one moment.
type neighbours struct {
	*cluster.View
	// all are the brokers that the clients can reach, ascending by id.
	all []neighbour
	// ids are those of all brokers of the view, for lists of replicas.
	ids []int32
	// rackAware says that a partition has a reader in every rack, for the clients of listener.
	rackAware bool
	listener  string
}

// neighbour is where clients find a broker.
type neighbour struct {
	id   int32
	host string
	port int32
	rack *string
}

// neighbours returns the cluster for a connection. A broker without the connection's listener is left out, as in Kafka. This
// broker is where the connection found it, unless it is about to end and there are others. While nobody is known at all it names itself, so that no client is left without
// a broker to ask.
func (s *Server) neighbours(c *Conn) neighbours {
	n := neighbours{View: s.cluster.View(), rackAware: s.rackAware(), listener: c.Listener}
	n.ids = make([]int32, 0, len(n.Brokers))
	for i := range n.Brokers {
		b := &n.Brokers[i]
		n.ids = append(n.ids, b.ID)
		at, ok := b.Endpoint(c.Listener)
		if b.ID == n.Self {
			at, ok = cluster.Endpoint{Host: c.Host, Port: c.Port}, true
		}
		if !ok {
			continue
		}
		out := neighbour{id: b.ID, host: at.Host, port: at.Port}
		if b.Rack != "" {
			out.rack = &b.Rack
		}
		n.all = append(n.all, out)
	}
	if b, ok := n.View.Broker(n.Self); ok && b.Leaves() && len(n.all) > 1 {
		n.all = slices.DeleteFunc(n.all, func(b neighbour) bool { return b.id == n.Self })
	}
	if len(n.Brokers) == 0 {
		n.all = append(n.all, neighbour{id: n.Self, host: c.Host, port: c.Port})
	}
	return n
}

// reach returns where the clients find a broker.
func (n *neighbours) reach(id int32) (neighbour, bool) {
	for _, b := range n.all {
		if b.id == id {
			return b, true
		}
	}
	return neighbour{id: cluster.Nobody, port: -1}, false
}

// controller is the broker that clients shall ask to change something: the one that decides who owns what, or, while it is not
// known or cannot be reached, any other, since each can do it.
func (n *neighbours) controller() int32 {
	for _, id := range []int32{n.Controller, n.Self} {
		if _, ok := n.reach(id); ok {
			return id
		}
	}
	if len(n.all) > 0 {
		return n.all[0].id
	}
	return cluster.Nobody
}

// leadership is what metadata says of a partition.
type leadership struct {
	leader, epoch int32
	// replicas are the owner, if there is one, and who else may be read from; offline is the owner where clients cannot reach it.
	replicas, offline []int32
	code              kafka.Error
}

// leadership tells who leads a partition: the owner of its shard, or who is about to be. Without one there is neither leader nor replica.
func (n *neighbours) leadership(t *topics.Topic, index int32) leadership {
	o := n.Leader(t.Shard(index))
	l := leadership{leader: o.Broker, epoch: o.Epoch, replicas: []int32{}, offline: []int32{}}
	if o.Broker == cluster.Nobody {
		l.code = kafka.LeaderNotAvailable
		return l
	}
	known := false
	for i, id := range n.ids {
		if id == o.Broker {
			known, l.replicas = true, n.ids[i:i+1:i+1]
		}
	}
	if _, ok := n.reach(o.Broker); ok {
		if n.rackAware {
			l.replicas = append(l.replicas, readers(n.View, n.listener, t.Shard(index), o.Broker)...)
		}
		return l
	}
	l.leader, l.code = cluster.Nobody, kafka.ListenerNotFound
	if !known { // its lease has ended and nobody has taken the shard over yet
		l.code, l.replicas = kafka.LeaderNotAvailable, []int32{o.Broker}
	}
	l.offline = l.replicas
	return l
}

// hints gathers, while an answer is made, who leads the partitions that were asked of the wrong broker (KIP-951).
type hints struct {
	server *Server
	conn   *Conn
	can    bool        // the version of the answer has room for them
	seen   *neighbours // nil until the first hint
	nodes  []neighbour // each once
}

func (s *Server) hints(c *Conn, can bool) hints { return hints{server: s, conn: c, can: can} }

// of returns the leader of a partition and notes where it is; false if nobody is known who could be asked.
func (h *hints) of(t *topics.Topic, index int32) (cluster.Ownership, bool) {
	if h.seen == nil {
		n := h.server.neighbours(h.conn)
		h.seen = &n
	}
	o := h.seen.Leader(t.Shard(index))
	at, ok := h.seen.reach(o.Broker)
	if !ok || o.Broker == h.seen.Self && h.seen.Owner(t.Shard(index)).Broker != o.Broker { // it has yet to be loaded here

		return o, false
	}
	for _, b := range h.nodes {
		if b.id == at.id {
			return o, true
		}
	}
	h.nodes = append(h.nodes, at)
	return o, true
}

// brokers are where the leaders are, for the answer to a fetch.
func (h *hints) brokers() []wire.FetchBroker {
	var out []wire.FetchBroker
	for _, n := range h.nodes {
		out = append(out, wire.FetchBroker{NodeID: n.id, Host: n.host, Port: n.port, Rack: n.rack})
	}
	return out
}

// produceBrokers is brokers for the answer to a produce.
func (h *hints) produceBrokers() []kmsg.ProduceResponseBroker {
	var out []kmsg.ProduceResponseBroker
	for _, n := range h.nodes {
		b := kmsg.NewProduceResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.id, n.host, n.port, n.rack
		out = append(out, b)
	}
	return out
}

// leaderHint returns who leads a partition, where one of its errors says that the client asked the wrong broker, or with an outdated
// epoch. Kafka gives none with UNKNOWN_LEADER_EPOCH: the client knows more than the broker then.
func leaderHint(h *hints, t *topics.Topic, index int32, codes ...kafka.Error) (cluster.Ownership, bool) {
	wrong := slices.Contains(codes, kafka.NotLeaderOrFollower) || slices.Contains(codes, kafka.FencedLeaderEpoch)
	if !h.can || t == nil || !wrong {
		return cluster.Ownership{}, false
	}
	return h.of(t, index)
}

// coordinatorAt returns the broker that coordinates what the partition of an internal topic keeps.
func (s *Server) coordinatorAt(c *Conn, topic string, partitionOf func(partitions int32) int32) (neighbour, error) {
	t, ok := s.topics.View().ByName(topic)
	if !ok {
		return neighbour{}, kafka.CoordinatorNotAvailable
	}
	n := s.neighbours(c)
	at, ok := n.reach(n.Leader(t.Shard(partitionOf(t.Partitions))).Broker)
	if !ok {
		return neighbour{}, kafka.CoordinatorNotAvailable
	}
	return at, nil
}

// moved tells a log that was closed because its topic is gone from one that another broker has now.
func (s *Server) moved(id kafka.TopicID, err error) error {
	if !errors.Is(err, partition.ErrClosed) {
		return err
	}
	if _, ok := s.topics.View().ByID(id); ok {
		return kafka.NotLeaderOrFollower
	}
	return err
}
