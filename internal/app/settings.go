package app

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/seal/kms"
	"github.com/weir-stream/weir/internal/broker"
	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/audit"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group/assignor"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/broker/telemetry"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest"
)

// Settings of the assembly: where things are, and how large they may grow.
var (
	Data = config.String("data", "./weir-data", config.NonEmpty, config.Common,
		"Directory for everything that is kept. One process at a time may use it.")
	Roles = config.List("roles", []string{roleBroker, roleRegistry, roleRest}, config.Unique, config.OneOf(roleBroker, roleRegistry, roleRest), config.Common,
		"Parts of Weir that run in this process. Without broker among them they serve the Kafka cluster that bootstrap.servers names.")
	Blob = config.String("blob", "", config.Check("empty, file:DIR, or s3://BUCKET/PREFIX?endpoint=URL", checkBlob), config.Common,
		"Where segments are kept, and in a cluster the write-ahead log: file:DIR, by default a folder of the data directory, or s3://BUCKET/PREFIX?endpoint=URL&region=R&path_style=true, with ca_file=, cert_file= and key_file= for TLS. Credentials come from the environment or files.")
	Meta = config.String("meta", "embedded", config.Check("embedded, or etcd://HOST:PORT,…/PREFIX", checkMeta), config.Common,
		"Where metadata is kept: embedded is a store in the data directory; etcd://HOST:PORT,…/PREFIX makes this broker one of a cluster, whose data lies in blob.")
	EncryptionKey = config.String("encryption.key", "", config.Check("empty, or "+kms.Form, checkKeyURL), config.Common,
		"Key by which everything that is kept is encrypted: a file of 32 bytes, or a key of Vault or of a cloud. Empty: data is kept in the clear.")
	EncryptionKeyPrevious = config.String("encryption.key.previous", "", config.Check("empty, or "+kms.Form, checkKeyURL),
		"Key before encryption.key: a start that finds the data under this one changes it over.")
	KafkaListen = config.String("kafka.listen", "127.0.0.1:9092", config.NonEmpty, config.Common,
		"Address on which Kafka clients are served; port 0 takes a free one.")
	KafkaAdvertise = config.String("kafka.advertise", "", config.Common,
		"host:port that clients are told to connect to, where it differs from the address that is listened on.")
	AdminListen = config.String("admin.listen", "127.0.0.1:9644", config.NonEmpty, config.Common,
		"Address of the admin server: /healthz, /readyz, /metrics, /v1/cluster. Nobody logs in there; what changes something it does for callers on this machine alone.")
	AdminProfiling = config.Bool("admin.pprof", false,
		"Serve Go's profiles under /debug/pprof/ on the admin address.")
	NodeID = config.Int("node.id", 1, config.AtLeast(0), config.Common,
		"Id of this broker in the answers to clients. A broker of a cluster takes one that is free if this is not set.")
	Rack = config.String("broker.rack", "", config.NoDefault, config.Common,
		"Rack, or zone, of this broker.")
	BrokerID = config.Int("broker.id", -1, config.DefaultFunc("node.id", func(v *config.Values) string { return strconv.Itoa(NodeID.Get(v)) }),
		"The name that node.id had before; it is reported for tools that ask for it.")
	LogLevel = config.String("log.level", "info", config.OneOf("debug", "info", "warn", "error"), config.Common,
		"Least severe messages that are logged.")
	LogFormat = config.String("log.format", "text", config.OneOf("text", "json"), config.Common,
		"Form of the log on standard error.")

	Shards = config.Int("storage.shards", 4, config.Range(1, 65_536),
		"Shards of a new data directory or, 64 by default, of a new cluster; it keeps the number it was made with.")
	WALFileBytes = config.Long("storage.wal.file.bytes", 128<<20, config.Range(1<<20, 4<<30),
		"Size of a file of the write-ahead log, a multiple of 4096. It holds the largest request. At most an eighth of what the log may take (storage.wal.max.bytes, else half of the disk), unless that is under 16 MiB.")
	WALGroupBytes = config.Int("storage.wal.group.bytes", 1<<20, config.Range(64<<10, 64<<20),
		"Bytes of batches near which a write of the write-ahead log is closed.")
	WALKeepBytes = config.Long("storage.wal.keep.bytes", 4<<30, config.AtLeast(int64(8<<20)),
		"Bytes that the write-ahead log may hold before its older half is moved into segments; at most half of what it may take, if that is bounded.")
	CheckpointInterval = config.Millis("storage.checkpoint.interval.ms", time.Minute, config.AtLeast(100),
		"Time between checkpoints while there are writes; it bounds what a start has to replay.")
	RetentionInterval = config.Millis("log.retention.check.interval.ms", 5*time.Minute, config.AtLeast(1),
		"Time between looks for records that retention drops.")
	ProducerExpiry = config.MillisInt("producer.id.expiration.ms", 24*time.Hour, config.AtLeast(1), config.Dynamic,
		"Time after which the state of an idle producer is forgotten.")

	GroupInitialDelay = config.MillisInt("group.initial.rebalance.delay.ms", 3*time.Second, config.AtLeast(0),
		"Time that the first rebalance of an empty group waits for more members.")
	GroupMinSession = config.MillisInt("group.min.session.timeout.ms", 6*time.Second, config.AtLeast(0),
		"Shortest session timeout that a member may ask for.")
	GroupMaxSession = config.MillisInt("group.max.session.timeout.ms", 30*time.Minute, config.AtLeast(0),
		"Longest session timeout that a member may ask for.")
	GroupMaxSize = config.Int("group.max.size", 1<<31-1, config.AtLeast(1),
		"Most members of a group.")
	StreamsSessionTimeout = config.MillisInt("group.streams.session.timeout.ms", 45*time.Second, config.AtLeast(1),
		"Silence after which a member of a streams group is taken for dead.")
	StreamsHeartbeatInterval = config.MillisInt("group.streams.heartbeat.interval.ms", 5*time.Second, config.AtLeast(1),
		"How often members of a streams group are told to send a heartbeat.")
	StreamsAssignmentInterval = config.MillisInt("group.streams.assignment.interval.ms", time.Second, config.AtLeast(0), config.Dynamic,
		"Least time between two assignments of a streams group.")
	StreamsInitialDelay = config.MillisInt("group.streams.initial.rebalance.delay.ms", 3*time.Second, config.AtLeast(0),
		"How long a new streams group waits for more members before its first assignment.")
	StreamsStandbyReplicas = config.Int("group.streams.num.standby.replicas", 0, config.AtLeast(0),
		"Warm copies of each task's state in a streams group.")
	StreamsMaxSize = config.Int("group.streams.max.size", 1<<31-1, config.AtLeast(1),
		"Most members of a streams group.")
	ConsumerSessionTimeout = config.MillisInt("group.consumer.session.timeout.ms", 45*time.Second, config.AtLeast(1),
		"Silence after which a member of a group of the consumer protocol is taken for dead.")
	ConsumerHeartbeatInterval = config.MillisInt("group.consumer.heartbeat.interval.ms", 5*time.Second, config.AtLeast(1),
		"How often members of groups of the consumer protocol are told to send a heartbeat.")
	ConsumerMaxSize = config.Int("group.consumer.max.size", 1<<31-1, config.AtLeast(1),
		"Most members of a group of the consumer protocol.")
	ConsumerAssignors = config.List("group.consumer.assignors", assignor.Names(), config.Unique, config.OneOf(assignor.Names()...),
		"How partitions may be divided in groups of the consumer protocol; the first is what members get that do not ask for one.")
	ConsumerMigration = config.String("group.consumer.migration.policy", "bidirectional", config.OneOfFold("DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"),
		"Whether a classic group becomes one of the consumer protocol when a member of that joins, and is one again when the last of them leaves.")
	OffsetMetadataMax = config.Int("offset.metadata.max.bytes", 4096, config.AtLeast(0),
		"Longest metadata text with a committed offset.")
	OffsetsRetention = config.Int("offsets.retention.minutes", 7*24*60, config.AtLeast(1),
		"Minutes after which the offsets of an empty group are dropped.")
	OffsetsCheckInterval = config.Millis("offsets.retention.check.interval.ms", 10*time.Minute, config.AtLeast(1),
		"Time between looks for offsets that are to be dropped.")
	OffsetsPartitions = config.Int("offsets.topic.num.partitions", 50, config.AtLeast(1),
		"Partitions of __consumer_offsets, when it is created.")

	TransactionPartitions = config.Int("transaction.state.log.num.partitions", 50, config.AtLeast(1),
		"Partitions of __transaction_state, when it is created.")
	TransactionSegmentBytes = config.Int("transaction.state.log.segment.bytes", 100<<20, config.AtLeast(1),
		"Size of a segment of __transaction_state, when it is created.")
	TransactionalIDExpiry = config.MillisInt("transactional.id.expiration.ms", 7*24*time.Hour, config.AtLeast(1),
		"Time after which a transactional id that nobody uses is forgotten.")
	TransactionalIDCheckInterval = config.MillisInt("transaction.remove.expired.transaction.cleanup.interval.ms", time.Hour, config.AtLeast(1),
		"Time between looks for transactional ids that are to be forgotten.")
)

// Schema returns every setting that a server knows: those that act, and the rest of Kafka's, which are accepted and
// reported.
func Schema() (*config.Schema, error) {
	keys := []config.Declared{
		Data, Roles, Blob, Meta, EncryptionKey, EncryptionKeyPrevious, KafkaListen, KafkaAdvertise, Listeners, AdvertisedListeners, AdminListen, AdminProfiling, NodeID, BrokerID, Rack, LogLevel, LogFormat,
		Join, ClusterLease, BalanceSettle, BalanceCooldown, FlushInterval, FlushUrgent, FlushBytes, FlushPuts, FlushBudget, PutPrice, TailMemory,
		Shards, WALFileBytes, WALGroupBytes, WALKeepBytes, WALMaxBytes, UploadMaxAge, BlockCacheBytes, BackupInterval, BackupKeep, CacheDir, CacheBytes, CheckpointInterval, RetentionInterval, ProducerExpiry,
		CleanerEnable, CleanerBackoff, CleanerMapBytes, CleanerMapFullness, CleanerBytesPerSecond,
		GroupInitialDelay, GroupMinSession, GroupMaxSession, GroupMaxSize, StreamsSessionTimeout, StreamsHeartbeatInterval, StreamsAssignmentInterval, StreamsInitialDelay, StreamsStandbyReplicas, StreamsMaxSize,
		ConsumerSessionTimeout, ConsumerHeartbeatInterval, api.ConsumerAssignmentInterval, ConsumerMaxSize, ConsumerAssignors, ConsumerMigration,
		ShareMaxSize, ShareSessions, SharePartitions, ShareSegmentBytes, ShareUpdates,
		OffsetMetadataMax, OffsetsRetention, OffsetsCheckInterval, OffsetsPartitions,
		TransactionPartitions, TransactionSegmentBytes, TransactionalIDExpiry, TransactionalIDCheckInterval,
		broker.RequestBytesMax, broker.QueuedBytesMax, broker.ConnectionsMax, broker.ConnectionsMaxPerIP, broker.ConnectionsPerIPOverrides, broker.ConnectionRateMax, telemetry.MaxBytes, broker.ConnectionsMaxIdle,
		api.AddPartitionsBackoff, api.AddPartitionsBackoffMax, api.TransactionMaxTimeout, api.FetchMaxBytes, api.ReplicaSelector, api.FetchSessionSlots, api.RebalanceProtocols, api.AutoCreateTopics,
	}
	keys = append(keys, RegistryListen, RegistryTopic, RegistryReplication, RestListen, Bootstrap, ClientProperties, KeysSecretFile, KeysVault, KeysAWS)
	keys = append(keys, gate.Settings()...)
	keys = append(keys, rest.Settings()...)
	keys = append(keys, ProtocolMap, controllerNames, BootstrapUsers, ClusterListen, ClusterTLS, config.ProviderPaths, config.ProviderEnv)
	s, err := config.NewSchema(slices.Concat(keys, auth.Settings(), auth.AuthenticationSettings(), audit.Settings(), topics.Settings(), quota.Settings())...)
	if err != nil {
		return nil, fmt.Errorf("declare settings: %w", err)
	}
	return s.WithScope(auth.ListenerPrefix).WithKnown(topics.Known()...)
}
