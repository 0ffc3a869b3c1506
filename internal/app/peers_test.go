package app_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/peer"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
)

// otherBroker is broker 1 of a cluster whose broker 2, a real server, owns every shard.
type otherBroker struct {
	*server
	directory *cluster.Directory
	client    *peer.Client
	options   peer.Options
	// deaf makes the network swallow what is sent.
	deaf atomic.Bool
}

type deafConn struct {
	net.Conn
	deaf *atomic.Bool
}

func (d deafConn) Write(b []byte) (int, error) {
	if d.deaf.Load() {
		return len(b), nil
	}
	return d.Conn.Write(b)
}

func startOther(t *testing.T, change func(*peer.Options), settings ...string) *otherBroker {
	t.Helper()
	o := &otherBroker{server: mustStart(t, t.TempDir(), append(settings, "cluster.listen=127.0.0.1:0", "transaction.state.log.num.partitions=2", "share.coordinator.state.topic.num.partitions=2", "storage.shards=2")...)}
	host, port, err := net.SplitHostPort(o.PeerAddress())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	o.directory = cluster.NewDirectory(1)
	o.directory.Publish(&cluster.View{
		Self: 1, Controller: 2, Shards: []cluster.Ownership{{Broker: 2, Epoch: 1}, {Broker: 2, Epoch: 1}},
		Brokers: []cluster.Broker{{ID: 1}, {ID: 2, Incarnation: 1, Endpoints: []cluster.Endpoint{{Listener: peer.Listener, Host: host, Port: int32(n)}}}},
	})
	o.options = peer.Options{
		Directory: o.directory, User: auth.BrokerUser, Secret: o.PeerSecret(), Logger: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return deafConn{c, &o.deaf}, err
		},
	}
	if change != nil {
		change(&o.options)
	}
	o.client = peer.New(o.options)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.client.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return o
}

func describe(o *otherBroker) error {
	_, err := o.client.Do(context.Background(), 2, kmsg.NewPtrDescribeClusterRequest())
	return err
}

func TestOnlyBrokersGetOntoTheirListener(t *testing.T) {
	t.Parallel()
	o := startOther(t, nil)
	if err := describe(o); err != nil {
		t.Fatalf("a broker of the cluster: %v", err)
	}
	for name, change := range map[string]func(*peer.Options){
		"wrong secret": func(o *peer.Options) { o.Secret[0] ^= 1 },
		"a user":       func(o *peer.Options) { o.User = "alice" },
	} {
		stranger := o.options
		change(&stranger)
		_, err := peer.New(stranger).Do(t.Context(), 2, kmsg.NewPtrDescribeClusterRequest())
		if !errors.Is(err, peer.ErrUnreachable) || !errors.Is(err, kafka.SASLAuthenticationFailed) {
			t.Errorf("%s: %v, want a failed login", name, err)
		}
	}
	// Clients are not told of the listener, and cannot take the name of brokers.
	cl := o.server.client(t)
	meta, err := kadm.NewClient(cl).Metadata(t.Context())
	if err != nil || len(meta.Brokers) != 1 || net.JoinHostPort(meta.Brokers[0].Host, strconv.Itoa(int(meta.Brokers[0].Port))) != o.Addresses()["kafka"] {
		t.Errorf("brokers that clients see: %v, %v", meta.Brokers, err)
	}
	res, err := kadm.NewClient(cl).AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: auth.BrokerUser, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: "x"}})
	if err != nil || !errors.Is(res[auth.BrokerUser].Err, kerr.UnacceptableCredential) {
		t.Errorf("making a user of brokers' name: %+v, %v", res, err)
	}
}

// answered asks until there is an answer: on a busy machine a login takes longer than a client without patience waits.
func answered(t *testing.T, o *otherBroker) {
	t.Helper()
	for began := time.Now(); ; <-time.After(20 * time.Millisecond) {
		err := describe(o)
		if err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("a broker that lives: %v", err)
		}
	}
}

func TestADeadBrokerHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	o := startOther(t, func(o *peer.Options) {
		o.Timeout, o.DialTimeout, o.Connections = 300*time.Millisecond, 300*time.Millisecond, 1
	})
	answered(t, o)
	o.deaf.Store(true)
	began := time.Now()
	if err := describe(o); err == nil || errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("a request that was sent and is not answered: %v", err)
	}
	if err := describe(o); !errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("a login that is not answered: %v, want ErrUnreachable", err)
	}
	if err := describe(o); !errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("right after a failed login: %v, want ErrUnreachable", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("three requests to a dead broker took %v", took)
	}
	o.deaf.Store(false)
	answered(t, o)
	// Its next life is another broker, which is not there.
	v := *o.directory.View()
	v.Brokers = []cluster.Broker{{ID: 1}}
	o.directory.Publish(&v)
	if err := describe(o); !errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("a broker that is gone: %v, want ErrUnreachable", err)
	}
}

func TestTransactionsSpanBrokers(t *testing.T) {
	t.Parallel()
	o := startOther(t, nil)
	remote := o.Remote(o.directory, o.client)
	cl := o.server.client(t, kgo.TransactionalID("x"), kgo.DefaultProduceTopic("t"))
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 2, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	id, epoch, err := cl.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := machine.Producer{ID: id, Epoch: epoch}
	both := []kafka.TopicPartition{{Topic: "t", Partition: 0}, {Topic: "t", Partition: 1}}
	claim := api.TransactionClaim{TransactionalID: "x", Producer: p, Partitions: both, VerifyOnly: true}
	want := func(what string, errs []error, want ...error) {
		t.Helper()
		if len(errs) != len(want) {
			t.Fatalf("%s: %v, want %v", what, errs, want)
		}
		for i := range want {
			if !errors.Is(errs[i], want[i]) {
				t.Errorf("%s, partition %d: %v, want %v", what, i, errs[i], want[i])
			}
		}
	}
	want("verify before the transaction", remote.Claims.AddPartitions(t.Context(), claim), kafka.TransactionAbortable, kafka.TransactionAbortable)
	add := claim
	add.VerifyOnly, add.Partitions = false, both[1:]
	want("add", remote.Claims.AddPartitions(t.Context(), add), nil)
	want("verify", remote.Claims.AddPartitions(t.Context(), claim), kafka.TransactionAbortable, nil)
	stranger := claim
	stranger.TransactionalID = "nobody"
	want("verify of an unknown id", remote.Claims.AddPartitions(t.Context(), stranger), kafka.InvalidProducerIDMapping, kafka.InvalidProducerIDMapping)
	if err := remote.Claims.VerifyGroup(t.Context(), "x", p, "g"); !errors.Is(err, kafka.TransactionAbortable) {
		t.Errorf("verify of a group: %v", err)
	}
	if err := remote.Claims.AddGroup(t.Context(), "x", p, "g"); err != nil {
		t.Errorf("add a group: %v", err)
	}
	if err := remote.Claims.VerifyGroup(t.Context(), "x", p, "g"); err != nil {
		t.Errorf("verify of a group that was added: %v", err)
	}
	m := machine.Marker{Producer: machine.Producer{ID: id, Epoch: epoch + 1}, CoordinatorEpoch: 7, Commit: true}
	for _, tp := range append(both, kafka.TopicPartition{Topic: kafka.GroupMetadataTopic}) {
		for range 2 { // what was written before is answered as done
			if err := remote.Markers.Write(t.Context(), tp, m, true); err != nil {
				t.Errorf("marker in %s: %v", tp, err)
			}
		}
	}
	old := m
	old.CoordinatorEpoch = 6
	if err := remote.Markers.Write(t.Context(), both[0], old, true); !errors.Is(err, kafka.TransactionCoordinatorFenced) {
		t.Errorf("marker of an older coordinator: %v", err)
	}
	if err := remote.Markers.Write(t.Context(), kafka.TopicPartition{Topic: "gone"}, m, true); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("marker in a topic that is not there: %v", err)
	}
	// Nobody owns the shards: nothing is lost, it is to be tried again.
	v := *o.directory.View()
	v.Shards = []cluster.Ownership{{Broker: cluster.Nobody, Epoch: 2}, {Broker: cluster.Nobody, Epoch: 2}}
	o.directory.Publish(&v)
	if err := remote.Markers.Write(t.Context(), both[0], m, true); !errors.Is(err, kafka.LeaderNotAvailable) {
		t.Errorf("marker in nobody's partition: %v", err)
	}
	want("verify at nobody's", remote.Claims.AddPartitions(t.Context(), claim), kafka.CoordinatorNotAvailable, kafka.CoordinatorNotAvailable)
}

func TestShareStatesOfAnotherBroker(t *testing.T) {
	t.Parallel()
	o := startOther(t, nil)
	remote := o.Remote(o.directory, o.client)
	cl := o.server.client(t)
	topic, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, "t")
	if err != nil {
		t.Fatal(err)
	}
	k := share.Key{Group: "g", Topic: kafka.TopicID(topic.ID)}
	if _, err := remote.State(t.Context(), 0, share.ReadState{Key: k}); !errors.Is(err, kafka.CoordinatorNotAvailable) {
		t.Errorf("without a topic of states: %v", err)
	}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorType, find.CoordinatorKeys = 6, 2, []string{k.String()}
	ask := func(event any) share.StateReply {
		t.Helper()
		for range 500 {
			r, err := remote.State(t.Context(), coordinator.PartitionOf(k.String(), 2), event)
			if err == nil {
				return r
			}
			if !errors.Is(err, kafka.CoordinatorLoadInProgress) {
				t.Fatalf("%T: %v", event, err)
			}
			<-time.After(10 * time.Millisecond)
		}
		t.Fatal("never loaded")
		return share.StateReply{}
	}
	if _, err := find.RequestWith(t.Context(), cl); err != nil {
		t.Fatal(err)
	}
	if r := ask(share.InitState{Key: k, StateEpoch: 3, Start: 5, Exists: true}); r.Err != nil {
		t.Fatalf("init: %v", r.Err)
	}
	if r := ask(share.WriteState{Key: k, StateEpoch: 3, LeaderEpoch: 2, Start: 6, DeliveryComplete: 1, Batches: []share.Batch{{First: 7, Last: 9, State: 2, DeliveryCount: 1}}, Exists: true}); r.Err != nil {
		t.Fatalf("write: %v", r.Err)
	}
	if r := ask(share.WriteState{Key: k, StateEpoch: 2, LeaderEpoch: 2, Start: 6, Exists: true}); !errors.Is(r.Err, kafka.FencedStateEpoch) {
		t.Errorf("write of an older state: %v", r.Err)
	}
	if r := ask(share.ReadState{Key: k, LeaderEpoch: 2, Exists: true}); r.Err != nil || r.Start != 6 || r.StateEpoch != 3 || len(r.Batches) != 1 || r.Batches[0] != (share.Batch{First: 7, Last: 9, State: 2, DeliveryCount: 1}) {
		t.Errorf("read: %+v", r)
	}
	if r := ask(share.SummarizeState{Key: k, Exists: true}); r.Err != nil || r.Start != 6 || r.DeliveryComplete != 1 || r.LeaderEpoch != 2 {
		t.Errorf("summary: %+v", r)
	}
	if r := ask(share.DeleteState{Key: k, Exists: true}); r.Err != nil {
		t.Errorf("delete: %v", r.Err)
	}
}
