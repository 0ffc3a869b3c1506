package sim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Metadata is what lies in the metadata store, keys and values, in bytes. docs/format/meta.md draws the values; they are
// encoded here anew from representative ones, since a simulation may not import storage.
type Metadata struct {
	Topics, Shards, Brokers, Incarnations                 int
	TopicBytes, ShardBytes, BrokerBytes, IncarnationBytes int64
	BytesPerPartition                                     float64
	PutsPerSecond                                         float64 // that make revisions, in quiet times
	HistoryBytes                                          int64   // of revisions until the store compacts them
}

// Bytes is all of it, without history.
func (m Metadata) Bytes() int64 {
	return m.TopicBytes + m.ShardBytes + m.BrokerBytes + m.IncarnationBytes
}

const (
	checkpointSeconds = 60  // a pointer moves with each checkpoint
	loadReportSeconds = 10  // a broker writes what its shards cost
	compactSeconds    = 300 // the store keeps revisions that long
	incarnationsKept  = 3   // of a broker: the present one, and those that history still names
)

// measureMetadata encodes the metadata of a cluster.
func measureMetadata(w *workload, brokers, partitions int) Metadata {
	m := Metadata{Topics: len(w.topics), Shards: len(w.partitions), Brokers: brokers, Incarnations: brokers * incarnationsKept}
	for i := range w.topics {
		m.TopicBytes += int64(len(topicKey(i)) + len(encodeTopic(&w.topics[i], len(w.partitions), i)))
	}
	var loads int64
	for i := range w.partitions {
		m.ShardBytes += int64(len(fmt.Sprintf("s/%05d", i)) + len(encodeShard(i)))
	}
	for i := range brokers {
		value := encodeBroker(i, m.Shards/brokers)
		loads += int64(len(value))
		m.BrokerBytes += int64(len(fmt.Sprintf("b/%d", i)) + len(value))
	}
	m.IncarnationBytes = int64(m.Incarnations) * int64(len("inc/0123456789abcdef")+len(encode(map[string]any{"v": 1, "broker": 4711, "start": int64(1) << 40, "sealed": int64(1) << 30})))
	pointers, reports := float64(m.Shards)/checkpointSeconds, float64(brokers)/loadReportSeconds
	m.PutsPerSecond = pointers + reports
	m.HistoryBytes = int64(compactSeconds * (pointers*float64(m.ShardBytes)/float64(m.Shards) + reports*float64(loads)/float64(brokers)))
	m.BytesPerPartition = float64(m.Bytes()) / float64(partitions)
	return m
}

func topicKey(i int) string { return fmt.Sprintf("t/team-%d.service-%d.events-%d", i%50, i%700, i) }

// encodeTopic lays a topic out as a sealed value of package topics: version, checksum, id, created, partitions, first
// shard, shards, configs. A third of the topics have configs of their own.
func encodeTopic(t *topic, shards, i int) []byte {
	b := append(make([]byte, 0, 128), make([]byte, 1+4+16)...)
	b = binary.AppendVarint(b, 1_900_000_000_000)
	b = binary.AppendUvarint(b, uint64(t.partitions))
	b = binary.AppendUvarint(b, uint64(t.first))
	b = binary.AppendUvarint(b, uint64(shards))
	if i%3 != 0 {
		return binary.AppendUvarint(b, 0)
	}
	b = binary.AppendUvarint(b, 3)
	for _, s := range []string{"cleanup.policy", "compact,delete", "min.compaction.lag.ms", "3600000", "retention.ms", "604800000"} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// encodeShard is the pointer of a shard with two tenures, after months.
func encodeShard(i int) []byte {
	object := fmt.Sprintf("%05d/%08x.%016x", i, 4321, 1_234_567)
	return encode(map[string]any{
		"v": 1, "epoch": 4321, "owner": 98_765, "version": 1_234_567, "manifest": "m/" + object, "checkpoint": "c/" + object, "replay": int64(1) << 40,
		"history": []map[string]any{{"epoch": 4320, "inc": 98_700, "from": int64(1) << 30, "to": int64(1) << 31}, {"epoch": 4321, "inc": 98_765, "from": int64(1) << 31}},
	})
}

// encodeBroker is what a broker keeps under its lease: where it is, and what each of its shards costs.
func encodeBroker(i, shards int) []byte {
	type listener struct {
		Name string `json:"name"`
		Host string `json:"host"`
		Port int    `json:"port"`
	}
	host := fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", i/250, i%250)
	loads := make([][5]int, shards)
	for j := range loads {
		loads[j] = [5]int{(i*31 + j*101) % 2048, 512_345, 1_024_690, 62, 98}
	}
	return encode(map[string]any{
		"v": 1, "rack": "eu-central-1a", "inc": 98_765, "draining": false, "loads": loads,
		"listeners": []listener{{"PLAINTEXT", host, 9092}, {"SASL_SSL", host, 9093}},
	})
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain numbers and strings always encode
	}
	return b
}
