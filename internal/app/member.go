package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/blob/s3"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/meta/etcd"
	"github.com/weir-stream/weir/internal/broker"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/placement"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/sim/cost"
)

// Settings of a broker in a cluster.
var (
	Join = config.Bool("join", false, config.Common,
		"Join the cluster that meta and blob name, which must be there, under an id that is free.")
	ClusterLease = config.Millis("cluster.lease.ms", 5*time.Second, config.Range(1000, 300_000), config.Common,
		"Time after its last sign of life after which a broker of a cluster is taken for dead.")
	BalanceSettle = config.Millis("cluster.balance.settle.ms", 30*time.Second, config.Range(0, 3_600_000),
		"Time that a broker must have been there before shards are moved because of how busy it is.")
	BalanceCooldown = config.Millis("cluster.balance.cooldown.ms", 5*time.Minute, config.Range(0, 86_400_000),
		"Time that a shard stays where it was moved before it is moved again because of how busy brokers are.")
	FlushInterval = config.Millis("storage.flush.interval.ms", 250*time.Millisecond, config.Range(1, 60_000), config.Common,
		"Time that batches wait for others in a cluster, while an object of the write-ahead log is being written.")
	FlushUrgent = config.Millis("storage.flush.urgent.ms", 20*time.Millisecond, config.Range(1, 60_000),
		"The same for what coordinators write and for markers of transactions.")
	FlushBytes = config.Int("storage.flush.bytes", 4<<20, config.Range(64<<10, 256<<20),
		"Bytes of batches at which an object of the write-ahead log is written at once in a cluster.")
	TailMemory = config.Long("storage.tail.memory.bytes", 0, config.AtLeast(0),
		"Memory of a broker in a cluster for the end of its log: three eighths from where consumers are served without a request to the object store, five for what segments are made of. They are made once so much was written, or after a burst. 0 is a sixteenth of the machine's memory, from 128 MiB to 1 GiB.")
	FlushPuts = config.Double("storage.flush.puts.per.second", 0, config.AtLeast(0), config.Common,
		"Objects of the write-ahead log that a broker of a cluster may write a second, on average over a minute; 0 is any number. Each is a request that the object store charges for.")
	FlushBudget = config.Double("storage.flush.budget.per.month", 0, config.AtLeast(0),
		"The same as money: what the objects of the write-ahead log of a broker of a cluster may cost in a month, at storage.put.price; 0 is any sum. Where both are set the lower counts.")
	PutPrice = config.Double("storage.put.price", cost.DefaultPrices().Per1000Puts, config.AtLeast(0),
		"What the object store charges for 1000 PUTs, in the money of storage.flush.budget.per.month. The default is what S3 Standard takes in us-east-1, in dollars.")
)

// flushRate is how many objects of the log may be written a second, by rate and by money; 0 is any number.
func flushRate(v *config.Values) float64 {
	rate, bought := FlushPuts.Get(v), cost.PutsPerSecond(FlushBudget.Get(v), PutPrice.Get(v))
	if rate > 0 && bought > 0 {
		return min(rate, bought)
	}
	return max(rate, bought)
}

// inCluster says whether this broker is one of several on the same stores.
func (a *App) inCluster() bool {
	return a.o.Cluster || strings.HasPrefix(Meta.Get(a.o.Values), "etcd://")
}

func checkMeta(v any) error {
	s, ok := v.(string)
	if !ok {
		return errors.New("not a text")
	}
	if s == "embedded" {
		return nil
	}
	_, err := etcd.ParseURL(s)
	return err
}

func checkBlob(v any) error {
	s, ok := v.(string)
	switch {
	case !ok:
		return errors.New("not a text")
	case s == "":
		return nil
	case strings.HasPrefix(s, "s3://"):
		_, err := s3.ParseURL(s)
		return err
	}
	if dir, file := strings.CutPrefix(s, "file:"); !file || dir == "" {
		return errors.New("not of the form file:DIR or s3://BUCKET/PREFIX?endpoint=URL")
	}
	return nil
}

// openEtcd opens the metadata store of a cluster.
func (a *App) openEtcd(ctx context.Context, registry prometheus.Registerer) (*etcd.Store, error) {
	location, err := etcd.ParseURL(Meta.Get(a.o.Values))
	if err != nil {
		return nil, err
	}
	user, password, err := location.Credentials(os.Getenv)
	if err != nil {
		return nil, err
	}
	return etcd.Open(ctx, etcd.Options{Location: location, Username: user, Password: password, Compact: user == "", Logger: a.o.Logger, Registerer: registry})
}

// openS3 opens an object store, and refuses one that does not keep the promises that safety rests on.
func (a *App) openS3(ctx context.Context, registry prometheus.Registerer) (*s3.Store, error) {
	o, err := s3.ParseURL(Blob.Get(a.o.Values))
	if err != nil {
		return nil, err
	}
	o.Registerer, o.Log = registry, a.o.Logger
	store, err := s3.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := s3.Probe(ctx, store); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// joinCluster makes this broker a member. Its id is the one of the settings if they name one, else one that is free.
func (a *App) joinCluster(ctx context.Context, store meta.Store, shards int32) (*cluster.Member, error) {
	v := a.o.Values
	if Join.Get(v) {
		if !a.inCluster() {
			return nil, fmt.Errorf("setting %s: there is no cluster to join: meta is %q, not etcd://…", Join.Name(), Meta.Get(v))
		}
		if exists, err := topics.HasCluster(ctx, store); err != nil {
			return nil, err
		} else if !exists {
			return nil, fmt.Errorf("setting %s: meta names no cluster yet: start the first broker without it", Join.Name())
		}
	}
	if !a.inCluster() {
		return nil, nil //nolint:nilnil // a broker alone
	}
	id := int32(-1)
	if _, named := v.Explicit(NodeID.Name()); named {
		id = int32(NodeID.Get(v))
	}
	n := nonce()
	m, err := cluster.Join(ctx, cluster.Options{
		Meta: store, Nonce: hex.EncodeToString(n[:]), ID: id, Rack: Rack.Get(v), Shards: shards, Lease: ClusterLease.Get(v), Now: a.o.Now, Logger: a.o.Logger,
		Loads: a.loads, Stuck: func() []int32 { return a.storage.Stuck() },
		Placement: func() placement.Settings {
			return placement.Settings{Settle: atLeastSome(BalanceSettle.Get(v)), Cooldown: atLeastSome(BalanceCooldown.Get(v))}
		},
	})
	if errors.Is(err, cluster.ErrTaken) {
		return nil, fmt.Errorf("setting %s is %d: %w: stop that one, give this one another, or leave the setting out for one that is free", NodeID.Name(), id, cluster.ErrTaken)
	}
	return m, err
}

// atLeastSome makes a time of none one that is not taken for the default.
func atLeastSome(d time.Duration) time.Duration { return max(d, 1) }

// clusterStorage are the options of storage in a cluster, nil for a broker alone.
func (a *App) clusterStorage(m *cluster.Member) *shard.ClusterOptions {
	if m == nil {
		return nil
	}
	v := a.o.Values
	memory := ringBytes(TailMemory.Get(v), machineMemory())
	return &shard.ClusterOptions{Directory: m.Directory(), Announce: m.Announce, Log: wal.ObjectOptions{
		RingBytes: memory / 8 * 3, RecallBytes: memory / 8 * 5,
		GroupBytes: FlushBytes.Get(v), Interval: FlushInterval.Get(v), Urgent: FlushUrgent.Get(v), PutsPerSecond: flushRate(v),
	}}
}

// confident reports whether no other broker can have taken this one for dead.
func (a *App) confident() bool {
	return a.member == nil || a.member.Named() && a.member.Alone() < a.member.Lease()
}

// setEndpoints tells the others where this broker's listeners are.
func (a *App) setEndpoints(ctx context.Context, m *cluster.Member, listeners []broker.Listener) error {
	endpoints := make([]cluster.Endpoint, 0, len(listeners))
	for _, l := range listeners {
		endpoints = append(endpoints, cluster.Endpoint{Listener: l.Name, Host: l.AdvertisedHost, Port: l.AdvertisedPort})
	}
	return m.SetEndpoints(ctx, endpoints)
}

// loadSeconds is over how long a shard's load is averaged.
const loadSeconds = 60

// loads returns what the shards of this broker cause. It is called by one goroutine.
func (a *App) loads() map[int32]placement.Load {
	loads := a.measured.next(a.o.Now(), a.storage.Written(), a.member.Load)
	for id, l := range loads {
		l.Partitions = a.storage.Partitions(id)
		loads[id] = l
	}
	return maps.Clone(loads)
}

// measurement is what loads saw last.
type measurement struct {
	at      time.Time
	written map[int32]int64
	loads   map[int32]placement.Load
}

// next returns the average of what was written to each shard, of which written has the bytes since this broker has it. One that has just come begins with
// what known says of it.
func (m *measurement) next(now time.Time, written map[int32]int64, known func(shard int32) placement.Load) map[int32]placement.Load {
	took := now.Sub(m.at).Seconds()
	loads := map[int32]placement.Load{}
	for id, n := range written {
		l, had := m.loads[id]
		before := m.written[id]
		switch {
		case !had || n < before: // it went and came back
			l = known(id)
		case took > 0:
			l.BytesInPerSecond += min(took/loadSeconds, 1) * (float64(n-before)/took - l.BytesInPerSecond)
		}
		loads[id] = l
	}
	*m = measurement{now, written, loads}
	return loads
}

// drainTimeout is for how long a broker that is asked to end waits for others to take its shards.
const drainTimeout = 2500 * time.Millisecond

// leaveTime is for how long a broker that has given its shards away, and is named to clients no more, still answers those that were told of it just before. A
// tool that asks each broker of a list, one after the other, does so within it; one that finds a closed port has no other to ask.
const leaveTime = time.Second

// drain gives the shards of this broker to others while it still serves, and takes leave.
func (a *App) drain(ctx context.Context) {
	if a.member == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout+leaveTime)
	defer cancel()
	draining, stop := context.WithTimeout(ctx, drainTimeout)
	defer stop()
	if err := a.member.Drain(draining); err != nil {
		a.o.Logger.Warn("not all shards were taken by other brokers; they are released", "err", err)
		return
	}
	if len(a.storage.Owned()) > 0 {
		return // there is nobody to take them
	}
	if err := a.member.Leave(draining); err != nil {
		a.o.Logger.Warn("the broker could not take leave; clients may still be sent to it", "err", err)
		return
	}
	left := time.NewTimer(leaveTime)
	defer left.Stop()
	select {
	case <-left.C:
	case <-ctx.Done():
	}
}
