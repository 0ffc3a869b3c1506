// Package app assembles a Weir server: it opens the stores, makes the parts and hands each what it needs, and starts and
// stops them in order. It holds no logic of its own beyond that and the glue between interfaces that the parts declare.
//
//	meta, blob ◄── topics ◄── storage ◄── groups ◄── kafka (listeners)
//	               access (ACLs, where there is an authorizer) ◄┘
//	                                       admin: answers /healthz from the first moment, /readyz when all are ready
//
// Everything that can be swapped (file system, object store, metadata store, clock, logger) comes in by Options, so a test
// runs the real server in memory. A part that ends with an error ends the server with it: storage is crash-only, and the
// next start recovers.
package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/service"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker"
	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/feature"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/broker/streamsgroup"
	"github.com/weir-stream/weir/internal/broker/telemetry"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/platform/contract"
	"github.com/weir-stream/weir/internal/platform/registry"
)

// Options of an App. Values and Version are required.
type Options struct {
	Values  *config.Values
	Version string
	// Logger defaults to one that discards. Level, if given, can be changed by clients as the logger "root".
	Logger *slog.Logger
	Level  *slog.LevelVar
	// FS, Blob and Meta default to the ones that the settings name. With FS alone in memory, Blob and Meta must be too.
	FS   vfs.FS
	Blob blob.Store
	Meta meta.Store
	Now  func() time.Time
	// NoRunFile leaves out run.json; the server then writes nothing outside its stores.
	NoRunFile bool
	// Cluster makes the server one of several on Blob and Meta, which must be given.
	Cluster bool
}

// App is a server.
type App struct {
	o         Options
	data      string
	clusterID string
	kafka     *broker.Broker
	handlers  *api.Server
	admin     *admin
	authn     *authentication
	logins    *auth.Metrics // of services without a broker in the process, which have no authn
	// member is nil where there are no other brokers.
	member   *cluster.Member
	storage  *shard.Store
	measured measurement
	peers    *peers
	platform *platform
	backups  *backups
	groups   *coordinator.Groups
	// contracts judges records; within is where this process connects to its own broker, nil where others connect too.
	contracts *contract.Validator
	schemas   *registry.Registry // nil where this process has none
	within    *broker.Within
	// registerer, if not nil, gets the metrics in the place of the registry that /metrics shows.
	registerer prometheus.Registerer
}

// New returns a server that has opened nothing.
func New(o Options) *App {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &App{o: o, data: Data.Get(o.Values)}
}

// Addresses returns where the parts answer, by name, once Run has called ready.
func (a *App) Addresses() map[string]string {
	out := map[string]string{"admin": *a.admin.bound.Load()}
	if a.authn != nil {
		for i, l := range a.authn.listeners {
			out[addressName(i, l)] = a.kafka.Address(l.spec.name)
		}
	}
	maps.Copy(out, a.platform.addresses())
	return out
}

// addressName is what the address of a listener is called: kafka for the first, kafka.name for those after it.
func addressName(i int, l *securedListener) string {
	if i == 0 {
		return "kafka"
	}
	return "kafka." + strings.ToLower(l.spec.name)
}

// stopTimeouts of the parts add up to less than the 5 s in which a server has to be gone.
const (
	kafkaStopTimeout   = 3 * time.Second
	groupsStopTimeout  = 3500 * time.Millisecond
	auditStopTimeout   = 3500 * time.Millisecond
	storageStopTimeout = 4 * time.Second
)

// Run opens the stores, starts everything, calls ready, and serves until ctx ends.
func (a *App) Run(ctx context.Context, ready func()) (err error) {
	closers := closers{}
	defer func() { err = errors.Join(err, closers.close()) }()
	assemble := a.assemble
	if !a.hasRole(roleBroker) {
		assemble = a.assembleAlone
	}
	parts, err := assemble(ctx, &closers)
	if err != nil {
		return err
	}
	g, err := service.NewGroup(parts...)
	if err != nil {
		return err
	}
	// The shards go to others while this broker still serves them; then it stops.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		a.drain(ctx)
		stop()
	})()
	err = g.Run(serving, func() {
		a.admin.isReady.Store(true)
		if werr := a.announce(); werr != nil {
			a.o.Logger.Warn("run file not written", "err", werr)
		}
		ready()
	})
	if !a.o.NoRunFile {
		err = errors.Join(err, removeRunFile(a.data))
	}
	return err
}

func (a *App) announce() error {
	addresses := a.Addresses()
	attrs := []any{"cluster_id", a.clusterID, "data", a.data}
	names, proves := []string{}, map[string]bool{}
	if a.authn != nil {
		for i, l := range a.authn.listeners {
			names = append(names, addressName(i, l))
			proves[addressName(i, l)] = a.authn.proves(l)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.platform.addresses())) {
		names = append(names, name)
		proves[name] = a.platform.proves
	}
	for _, name := range append(names, "admin") {
		attrs = append(attrs, name, addresses[name])
	}
	warnOfStrangers(a.o.Logger, addresses, proves)
	a.o.Logger.Info("ready", attrs...)
	if a.o.NoRunFile {
		return nil
	}
	return RunFile{PID: pid(), Version: a.o.Version, ClusterID: a.clusterID, Addresses: addresses}.write(a.data)
}

// closers are closed in reverse order.
type closers []io.Closer

func (c *closers) add(x io.Closer) { *c = append(*c, x) }

func (c *closers) close() error {
	var errs []error
	for _, x := range slices.Backward(*c) {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}

// assemble opens the stores and returns the parts of the server.
func (a *App) assemble(ctx context.Context, c *closers) ([]service.Member, error) {
	v := a.o.Values
	gatherer := prometheus.NewRegistry()
	registry := cmp.Or[prometheus.Registerer](a.registerer, gatherer)
	stores, err := a.openStores(ctx, c, registry)
	if err != nil {
		return nil, err
	}
	store := stores.meta
	wanted := Shards.Get(v)
	_, named := v.Explicit(Shards.Name())
	switch {
	case a.inCluster() && !named:
		wanted = clusterShards
	case !a.inCluster() && wanted > aloneShards:
		return nil, fmt.Errorf("setting %s is %d: a broker alone has at most %d", Shards.Name(), wanted, aloneShards)
	}
	shards, err := shardCount(ctx, store, wanted)
	if err != nil {
		return nil, err
	}
	nodeID := int32(NodeID.Get(v))
	directory := cluster.NewDirectory(nodeID)
	if a.member, err = a.joinCluster(ctx, store, shards); err != nil {
		return nil, err
	}
	if a.member != nil {
		nodeID, directory = a.member.ID(), a.member.Directory()
		if v, err = v.With(config.FromFlag, map[string]string{NodeID.Name(): strconv.Itoa(int(nodeID))}); err != nil {
			return nil, err
		}
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	specs, err := listenersOf(v)
	if err != nil {
		return nil, err
	}
	if a.authn, err = a.openAuthentication(ctx, store, registry); err != nil {
		return nil, err
	}
	tps, err := topics.Open(ctx, store, topics.Options{
		Values: v, Shards: shards, NodeID: nodeID, Brokers: brokersOf(directory), Now: a.o.Now, Logger: a.o.Logger, Level: a.o.Level, CheckBroker: a.authn.check,
	})
	if err != nil {
		return nil, fmt.Errorf("open topics: %w", err)
	}
	a.clusterID = tps.ClusterID()
	a.peers, err = a.openPeers(ctx, store, tps, directory, registry)
	if err != nil {
		return nil, fmt.Errorf("calls between brokers: %w", err)
	}
	walMost, walFile := a.walSizes()
	storage := shard.New(shard.Options{
		FS: stores.files, WALDir: filepath.Join(a.data, "wal"), Blob: stores.objects, Meta: store, Topics: logTopics{tps}, ClusterID: tps.ClusterUUID(),
		Broker: nodeID, Shards: shards, Now: a.o.Now, Nonce: nonce, Logger: a.o.Logger, Registerer: registry,
		WALFileBytes: walFile, WALGroupBytes: WALGroupBytes.Get(v), WALKeepBytes: WALKeepBytes.Get(v), CheckpointInterval: CheckpointInterval.Get(v),
		RetentionInterval: RetentionInterval.Get(v), ProducerExpiry: func() time.Duration { return ProducerExpiry.Get(tps.Values()) },
		Cleaner: func() shard.CleanerOptions { return cleanerOptions(tps.Values()) },
		Cluster: a.clusterStorage(a.member), Remote: a.remoteObjects(), BlockCacheBytes: BlockCacheBytes.Get(v),
		WALMaxBytes: walMost, UploadMaxAge: a.uploadMaxAge(),
	})
	a.storage = storage
	access, err := openAuthorizer(ctx, store, v, a.o.Logger, registry)
	if err != nil {
		return nil, err
	}
	moves, follower := newMoves(tps), newFollower(tps, storage, a.o.Logger)
	groups := coordinator.NewGroups(coordinator.GroupsOptions{
		Options: coordinator.Options{
			Topics: newOffsetsTopic(tps, storage, moves, OffsetsPartitions.Get(v)), Logger: a.o.Logger, Registerer: registry, Confident: a.confident, Loaded: follower.noteLoaded(kafka.GroupMetadataTopic),
		},
		Streams: streamsgroup.Options{MaxSize: StreamsMaxSize.Get(v), SessionTimeout: StreamsSessionTimeout.Get(v), CleanupInterval: OffsetsCheckInterval.Get(v)},
		Group:   groupOptions(v), Picture: func() group.Topics { return api.Picture(tps.View()) },
		Share: share.GroupOptions{MaxSize: ShareMaxSize.Get(v)},
	})
	a.groups = groups
	shares, windows := a.newShares(tps, storage, moves, groups, a.peers, follower.noteLoaded(kafka.ShareGroupStateTopic), registry) //nolint:contextcheck // what a window writes outlives who made it
	storage.OnOwnership(func(shard, _ int32, owned bool) {
		if !owned {
			windows.Lost(shard)
		}
		moves.tell()
	})
	markers := markers{tps, storage, groups} // those of this broker
	transactions := coordinator.NewTransactions(coordinator.TransactionsOptions{
		Options:      coordinator.Options{Topics: newTransactionsTopic(tps, storage, moves, v), Logger: a.o.Logger, Registerer: registry, Confident: a.confident},
		Transactions: transactionOptions(v), Markers: newClusterMarkers(markers, a.peers), NewProducerID: tps.AllocateProducerID, GroupPartition: groups.Partition,
	})
	log := a.newAudit(tps, storage, nodeID, registry)
	a.authn.tellAudit(log)
	quotas := quota.New(v)
	followQuotas(tps, quotas)
	clientMetrics := telemetry.New(func() int { return telemetry.MaxBytes.Get(tps.Values()) }, func() telemetry.ID { return nonce() }, registry)
	followClientMetrics(tps, clientMetrics)
	registry.MustRegister(telemetry.NewCollector(clientMetrics, a.o.Now))
	registry.MustRegister(quota.NewCollector(quotas, a.o.Now))
	schemas := a.openContracts(registry)
	features := feature.NewSet(tps, nodeID, api.Serves)
	server := api.New(api.Options{
		Topics: tps, Groups: groups, Shares: shares, Windows: windows, Transactions: newClusterClaims(transactions, groups, a.peers), Transactional: transactions, Markers: markers, Storage: storage, Features: features, Access: access, Audit: log, Contracts: contracts{a.contracts},
		Quotas: quotas, Telemetry: clientMetrics, Users: a.authn.users, Tokens: a.authn.tokens,
		Cluster: directory, Away: a.peers.away(storage), LogDir: a.data, Confident: a.confident, Ownership: moves.changed, Now: a.o.Now, Logger: a.o.Logger, Registerer: registry,
	})
	a.handlers = server
	registry.MustRegister(api.NewCollector(server))
	follower.groups, follower.shares, follower.windows, follower.server = groups, shares, windows, server
	tps.OnChange(follower.changed)
	listeners, err := a.authn.secure(specs, tps.Values())
	if err != nil {
		return nil, err
	}
	if a.peers.client != nil {
		internal, err := a.peers.listener(a, specs[0])
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, internal)
	} else {
		listeners = append(listeners, a.withinListener())
	}
	if a.platform, err = a.openPlatform(directory, access, log, registry); err != nil {
		return nil, err
	}
	if a.platform.inside != nil {
		listeners = append(listeners, a.platform.inside.listener)
	}
	tps.OnChange(a.authn.changed)
	storage.OnOwnership(func(int32, int32, bool) { moves.tell() })
	bound := func(ctx context.Context, served []broker.Listener) error {
		if a.member != nil {
			return a.setEndpoints(ctx, a.member, served)
		}
		publishAlone(directory, Rack.Get(v), shards, storage.LeaderEpoch, served)
		return nil
	}
	a.kafka = broker.New(broker.Options{Listeners: listeners, Bound: bound, API: server, Quotas: quotas, Values: v, Logger: a.o.Logger, Registerer: registry})
	a.admin = &admin{
		address: AdminListen.Get(v), gather: gatherer, pprof: AdminProfiling.Get(v), logger: a.o.Logger, waits: a.platform.waits,
		contracts: &contractAdmin{broker: nodeID, contracts: a.contracts},
		cluster:   &clusterAdmin{clusterID: a.clusterID, directory: directory, member: a.member, meta: store, objects: stores.objects, storage: storage, now: a.o.Now},
	}
	var members []service.Member
	storageNeeds := []string{"topics"}
	if a.member != nil {
		members = append(members, service.Member{Name: "member", Service: a.member})
		storageNeeds = append(storageNeeds, "member")
	}
	members = append(members, a.platform.members()...)
	return append(members, []service.Member{
		{Name: "admin", Service: a.admin},
		{Name: "topics", Service: tps},
		{Name: "users", Service: a.authn.users},
		{Name: "tokens", Needs: []string{"users"}, Service: a.authn.tokens},
		{Name: "storage", Needs: storageNeeds, Service: storage, StopTimeout: storageStopTimeout},
		{Name: "backups", Needs: []string{"storage"}, Service: a.backups},
		{Name: "peers", Needs: []string{"storage"}, Service: a.peers},
		{Name: "groups", Needs: []string{"storage", "peers"}, Service: groups, StopTimeout: groupsStopTimeout},
		{Name: "transactions", Needs: []string{"storage", "groups"}, Service: transactions, StopTimeout: groupsStopTimeout},
		{Name: "access", Service: access},
		{Name: "audit", Needs: []string{"storage"}, Service: log, StopTimeout: auditStopTimeout},
		{Name: "shares", Needs: []string{"groups"}, Service: shares, StopTimeout: groupsStopTimeout},
		{Name: "windows", Needs: []string{"shares"}, Service: windows, StopTimeout: groupsStopTimeout},
		{Name: "follower", Needs: []string{"storage", "groups", "shares"}, Service: follower},
		{Name: "schemas", Service: schemas},
		{Name: "kafka", Needs: []string{"schemas", "groups", "transactions", "windows", "follower", "users", "admin", "access", "audit"}, Service: a.kafka, StopTimeout: kafkaStopTimeout},
	}...), nil
}

// ErrInUse is returned by Run if another server uses the data directory.
var ErrInUse = errors.New("another server uses it")

// inUse says who has the data directory, as far as its run file tells.
func (a *App) inUse() error {
	r, err := ReadRunFile(a.data)
	if err != nil { // that server is just starting, or stopping
		return fmt.Errorf("data directory %s: %w", a.data, ErrInUse)
	}
	return fmt.Errorf("data directory %s: %w: process %d, with Kafka at %s", a.data, ErrInUse, r.PID, r.Addresses["kafka"])
}

// clusterShards is how many shards a new cluster has: enough for a dozen of brokers to share them evenly. aloneShards bounds those of
// a broker that has no others; it takes them all in one transaction.
const (
	clusterShards = 64
	aloneShards   = 16
)

// shardsKey holds the number of shards of a data directory, which the place of every partition depends on.
const shardsKey = "shards"

func shardCount(ctx context.Context, store meta.Store, wanted int) (int32, error) {
	e, err := store.Get(ctx, shardsKey)
	switch {
	case err == nil && len(e.Value) == 4:
		return int32(binary.BigEndian.Uint32(e.Value)), nil
	case err == nil:
		return 0, fmt.Errorf("metadata key %s holds %d bytes, not 4", shardsKey, len(e.Value))
	case !errors.Is(err, meta.ErrNotFound):
		return 0, fmt.Errorf("read the number of shards: %w", err)
	}
	r, err := store.Txn(ctx, []meta.Compare{{Key: shardsKey}}, []meta.Op{{Kind: meta.Put, Key: shardsKey, Value: binary.BigEndian.AppendUint32(nil, uint32(wanted))}})
	if err != nil {
		return 0, fmt.Errorf("keep the number of shards: %w", err)
	}
	if !r.Succeeded { // another broker was faster
		return shardCount(ctx, store, wanted)
	}
	return int32(wanted), nil
}

func nonce() [16]byte {
	var n [16]byte
	rand.Read(n[:]) //nolint:errcheck // crypto/rand.Read never fails
	return n
}

func groupOptions(v *config.Values) group.Options {
	o := group.Options{
		InitialRebalanceDelay: GroupInitialDelay.Get(v), MinSessionTimeout: GroupMinSession.Get(v), MaxSessionTimeout: GroupMaxSession.Get(v),
		MaxSize: GroupMaxSize.Get(v), MaxMetadataBytes: OffsetMetadataMax.Get(v), Retention: time.Duration(OffsetsRetention.Get(v)) * time.Minute,
		CleanupInterval: OffsetsCheckInterval.Get(v), ProducerExpiry: ProducerExpiry.Get(v),
		ConsumerSessionTimeout: ConsumerSessionTimeout.Get(v), ConsumerHeartbeatInterval: ConsumerHeartbeatInterval.Get(v),
		ConsumerAssignmentInterval: api.ConsumerAssignmentInterval.Get(v), ConsumerMaxSize: ConsumerMaxSize.Get(v),
	}
	if names := ConsumerAssignors.Get(v); len(names) > 0 {
		o.ConsumerAssignor = names[0]
	}
	policy := strings.ToUpper(ConsumerMigration.Get(v))
	o.Migration.Upgrade = policy == "UPGRADE" || policy == "BIDIRECTIONAL"
	o.Migration.Downgrade = policy == "DOWNGRADE" || policy == "BIDIRECTIONAL"
	if o.ConsumerAssignmentInterval == 0 {
		o.ConsumerAssignmentInterval = -1
	}
	// To the group 0 is "the default"; to the setting it is none.
	if o.InitialRebalanceDelay == 0 {
		o.InitialRebalanceDelay = -1
	}
	if o.MinSessionTimeout == 0 {
		o.MinSessionTimeout = time.Nanosecond
	}
	return o
}
