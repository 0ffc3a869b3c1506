package api

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
)

// collectTimeout bounds how long a scrape waits for the groups.
const collectTimeout = 5 * time.Second

// Collector gives what is counted by partition and by group, at the time of a scrape, under the names that dashboards
// for Kafka ask for: those of the JMX exporter as Strimzi maps them, and those of kafka_exporter.
//
// A broker tells of the partitions that it owns, of the groups that it coordinates, and of the topics whose first partition it
// owns, so that nothing is told twice in a cluster. For the lag of a group its coordinator asks the owners of partitions; how old the
// record is at which a group stands is told where both are on one broker.
type Collector struct {
	server *Server
	fixed  []prometheus.Metric
	times  lagTimes

	brokers, controllers, offline *prometheus.Desc

	partitions, leaders, late, logSize                          *prometheus.Desc
	topicPartitions, current, oldest, inSync, leader, preferred *prometheus.Desc
	replicas, underReplicated                                   *prometheus.Desc
	groupOffset, groupLag, groupOffsetSum, groupLagSum          *prometheus.Desc
	groupLagSeconds                                             *prometheus.Desc
}

// NewCollector returns the collector of a server.
func NewCollector(s *Server) *Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	byPartition := func(name, help string) *prometheus.Desc {
		return desc("kafka_topic_partition_"+name, help, "topic", "partition")
	}
	c := &Collector{
		server:      s,
		brokers:     desc("kafka_brokers", "Brokers of the cluster."),
		controllers: desc("kafka_controller_kafkacontroller_activecontrollercount", "1 if this broker decides who owns what."),
		offline:     desc("kafka_controller_kafkacontroller_offlinepartitionscount", "Partitions without a leader, told by the controller."),
		partitions:  desc("kafka_server_replicamanager_partitioncount", "Partitions on this broker."),
		leaders:     desc("kafka_server_replicamanager_leadercount", "Partitions that this broker leads."),
		late: desc("kafka_server_replicamanager_partitionswithlatetransactionscount",
			"Partitions whose oldest open transaction has been idle for five minutes longer than the longest transaction timeout: it hangs."),
		logSize:         desc("kafka_log_log_size", "Bytes that a partition keeps.", "topic", "partition"),
		topicPartitions: desc("kafka_topic_partitions", "Partitions of a topic.", "topic"),
		current:         byPartition("current_offset", "High watermark."),
		oldest:          byPartition("oldest_offset", "Log start offset."),
		inSync:          byPartition("in_sync_replica", "In-sync replicas; durability is the store's, so the owner alone counts."),
		leader:          byPartition("leader", "Node id of the leader."),
		preferred:       byPartition("leader_is_preferred", "1 if the leader is the preferred one."),
		replicas:        byPartition("replicas", "Replicas."),
		underReplicated: byPartition("under_replicated_partition", "1 if replicas are missing."),
		groupOffset:     desc("kafka_consumergroup_current_offset", "Committed offset.", "consumergroup", "topic", "partition"),
		groupLag:        desc("kafka_consumergroup_lag", "Records between the committed offset and the high watermark.", "consumergroup", "topic", "partition"),
		groupLagSeconds: desc("weir_group_lag_seconds", "Age of the record at the committed offset, 0 where the group has read all. It counts from the record's timestamp. In a cluster it is told of partitions whose owner coordinates the group.", "consumergroup", "topic", "partition"),
		groupOffsetSum:  desc("kafka_consumergroup_current_offset_sum", "Committed offsets of a topic, added up.", "consumergroup", "topic"),
		groupLagSum:     desc("kafka_consumergroup_lag_sum", "Lag of a topic, added up.", "consumergroup", "topic"),
	}
	constant := func(name, help string, v float64) {
		c.fixed = append(c.fixed, prometheus.MustNewConstMetric(desc(name, help), prometheus.GaugeValue, v))
	}
	constant("kafka_server_replicamanager_underreplicatedpartitions", "Partitions that lack replicas.", 0)
	constant("kafka_cluster_partition_underminisr", "Partitions below min.insync.replicas.", 0)
	constant("kafka_controller_controllerstats_uncleanleaderelections_total", "Elections that could lose records: there are none.", 0)
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.fixed {
		ch <- m.Desc()
	}
	for _, d := range []*prometheus.Desc{
		c.brokers, c.controllers, c.offline, c.partitions, c.leaders, c.late, c.logSize, c.topicPartitions, c.current, c.oldest, c.inSync, c.leader, c.preferred,
		c.replicas, c.underReplicated, c.groupOffset, c.groupLag, c.groupLagSeconds, c.groupOffsetSum, c.groupLagSum,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.fixed {
		ch <- m
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	view, at := c.server.topics.View(), c.server.cluster.View()
	total, late, offline := 0, 0, 0
	now, after := c.server.now().UnixMilli(), TransactionMaxTimeout.Get(c.server.topics.Values())+lateTransactionBuffer
	for _, t := range view.All() {
		if at.Local(t.Shard(0)) {
			gauge(c.topicPartitions, float64(t.Partitions), t.Name)
		}
		for i := range t.Partitions {
			if owner := at.Owner(t.Shard(i)).Broker; owner != at.Self {
				if owner == cluster.Nobody {
					offline++
				}
				continue
			}
			total++
			c.partition(gauge, t, i, at.Self)
			if l, ok := c.server.storage.Existing(t.ID, i); ok && l.Late(now, after.Milliseconds()) {
				late++
			}
		}
	}
	gauge(c.partitions, float64(total))
	gauge(c.leaders, float64(total))
	gauge(c.late, float64(late))
	gauge(c.brokers, float64(len(at.Brokers)))
	controls := 0.0
	if at.Controller == at.Self {
		controls = 1
	} else {
		offline = 0
	}
	gauge(c.controllers, controls)
	gauge(c.offline, float64(offline))
	c.groups(gauge, view, at)
}

type gaugeFunc func(d *prometheus.Desc, v float64, labels ...string)

func (c *Collector) offsets(t *topics.Topic, i int32) (partition.Offsets, int64) {
	if l, ok := c.server.storage.Existing(t.ID, i); ok {
		return l.Offsets(), l.Bytes()
	}
	return partition.Offsets{}, 0
}

func (c *Collector) partition(gauge gaugeFunc, t *topics.Topic, i, leader int32) {
	o, bytes := c.offsets(t, i)
	index := strconv.Itoa(int(i))
	gauge(c.logSize, float64(bytes), t.Name, index)
	gauge(c.current, float64(o.HighWatermark), t.Name, index)
	gauge(c.oldest, float64(o.LogStart), t.Name, index)
	gauge(c.inSync, 1, t.Name, index)
	gauge(c.leader, float64(leader), t.Name, index)
	gauge(c.preferred, 1, t.Name, index)
	gauge(c.replicas, 1, t.Name, index)
	gauge(c.underReplicated, 0, t.Name, index)
}

func (c *Collector) groups(gauge gaugeFunc, view *topics.View, at *cluster.View) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout) // a scrape has no context of its own
	defer cancel()
	committed, err := c.server.groups.Committed(ctx, false)
	if err != nil {
		c.server.logger.Debug("no group offsets for this scrape", "err", err)
		return
	}
	type groupTopic struct{ group, topic string }
	offsets, lags, partial := map[groupTopic]float64{}, map[groupTopic]float64{}, map[groupTopic]bool{}
	ages := c.times.ages(ctx, c.server, view, committed)
	ends := c.highWatermarks(ctx, view, at, committed)
	for i, o := range committed {
		t, ok := view.ByName(o.Topic)
		if !ok || o.Partition < 0 || o.Partition >= t.Partitions {
			continue
		}
		index, sum := strconv.Itoa(int(o.Partition)), groupTopic{o.Group, o.Topic}
		gauge(c.groupOffset, float64(o.Offset), o.Group, o.Topic, index)
		offsets[sum] += float64(o.Offset)
		end, known := ends[topicIndex{o.Topic, o.Partition}]
		if !known { // the owner is on its way, or does not answer
			partial[sum] = true
			continue
		}
		lag := float64(max(end-o.Offset, 0))
		gauge(c.groupLag, lag, o.Group, o.Topic, index)
		if ages[i] >= 0 {
			gauge(c.groupLagSeconds, ages[i].Seconds(), o.Group, o.Topic, index)
		}
		lags[sum] += lag
	}
	for k, v := range offsets {
		gauge(c.groupOffsetSum, v, k.group, k.topic)
		if !partial[k] { // a part of a sum is no sum
			gauge(c.groupLagSum, lags[k], k.group, k.topic)
		}
	}
}
