package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.ClientID = "weir-interop"
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Group.Rebalance.Timeout = 10 * time.Second
	c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	// Its own patience ends after three seconds with the broker, and less than one with a topic that is being made.
	c.Admin.Timeout, c.Metadata.Retry.Max = 20*time.Second, 40
	return c
}

func saramaChecks() {
	admin, err := sarama.NewClusterAdmin(servers, saramaConfig())
	if err != nil {
		fmt.Printf("FAIL connect: %v\n", err)
		return
	}
	defer admin.Close()
	for i, codec := range codecs {
		check("produce "+codec, func() error { return saramaProduce(admin, codec, sarama.CompressionCodec(i)) })
	}
	check("seed", func() error { return saramaRead(seed, seeded()) })
	check("group of two", func() error { return saramaGroup(admin) })
	check("configs", func() error { return saramaConfigs(admin) })
	check("topics", func() error { return saramaTopics(admin) })
	check("old protocol versions", saramaOld)
}

func saramaSend(conf *sarama.Config, topic string, vs []string) error {
	p, err := sarama.NewSyncProducer(servers, conf)
	if err != nil {
		return err
	}
	defer p.Close()
	var ms []*sarama.ProducerMessage
	for _, v := range vs {
		ms = append(ms, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(v), Headers: []sarama.RecordHeader{{Key: []byte("h"), Value: []byte("1")}}})
	}
	return p.SendMessages(ms)
}

func saramaProduce(admin sarama.ClusterAdmin, name string, codec sarama.CompressionCodec) error {
	topic := run + "-sarama-" + name
	if err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false); err != nil {
		return err
	}
	conf := saramaConfig()
	conf.Producer.Compression, conf.Producer.Idempotent, conf.Net.MaxOpenRequests = codec, true, 1
	want := values("sarama-"+name, 10)
	if err := saramaSend(conf, topic, want); err != nil {
		return err
	}
	return saramaRead(topic, want)
}

// saramaRead reads partition 0 of topic from the start.
func saramaRead(topic string, want []string) error {
	c, err := sarama.NewConsumer(servers, saramaConfig())
	if err != nil {
		return err
	}
	defer c.Close()
	pc, err := c.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	defer pc.Close()
	var got []string
	limit := time.After(time.Minute)
	for len(got) < len(want) {
		select {
		case m := <-pc.Messages():
			got = append(got, string(m.Value))
		case <-limit:
			return same(got, want)
		}
	}
	return same(got, want)
}

// saramaMember collects what a member of a group gets.
type saramaMember struct {
	mu    sync.Mutex
	owned int
	got   []string
}

func (m *saramaMember) Setup(s sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owned = 0
	for _, ps := range s.Claims() {
		m.owned += len(ps)
	}
	return nil
}

func (m *saramaMember) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *saramaMember) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for msg := range c.Messages() {
		m.mu.Lock()
		m.got = append(m.got, string(msg.Value))
		m.mu.Unlock()
		s.MarkMessage(msg, "")
	}
	return nil
}

func (m *saramaMember) state() (int, []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.owned, append([]string(nil), m.got...)
}

func saramaGroup(admin sarama.ClusterAdmin) error {
	topic, group := run+"-sarama-group", run+"-sarama-group"
	if err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 6, ReplicationFactor: 1}, false); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	members := []*saramaMember{{}, {}}
	for _, m := range members {
		g, err := sarama.NewConsumerGroup(servers, group, saramaConfig())
		if err != nil {
			cancel()
			return err
		}
		wg.Go(func() {
			defer g.Close()
			for ctx.Err() == nil {
				if err := g.Consume(ctx, []string{topic}, m); err != nil {
					time.Sleep(100 * time.Millisecond)
				}
			}
		})
	}
	err := eventually(func() error {
		a, _ := members[0].state()
		b, _ := members[1].state()
		if a != 3 || b != 3 {
			return fmt.Errorf("the members own %d and %d partitions", a, b)
		}
		return nil
	})
	want := values("g", 120)
	if err == nil {
		err = saramaSend(saramaConfig(), topic, want)
	}
	if err == nil {
		err = eventually(func() error {
			_, a := members[0].state()
			_, b := members[1].state()
			return same(append(a, b...), want)
		})
	}
	if err == nil {
		var ds []*sarama.GroupDescription
		if ds, err = admin.DescribeConsumerGroups([]string{group}); err == nil && (ds[0].State != "Stable" || len(ds[0].Members) != 2) {
			err = fmt.Errorf("group is %+v", ds[0])
		}
	}
	cancel()
	wg.Wait()
	if err != nil {
		return err
	}
	return saramaGroupAdmin(admin, topic, group)
}

// saramaGroupAdmin looks at a group without members, and deletes it.
func saramaGroupAdmin(admin sarama.ClusterAdmin, topic, group string) error {
	offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2, 3, 4, 5}})
	if err != nil {
		return err
	}
	sum := int64(0)
	for _, b := range offsets.Blocks[topic] {
		sum += max(b.Offset, 0)
	}
	if sum != 120 {
		return fmt.Errorf("committed offsets make %d", sum)
	}
	groups, err := admin.ListConsumerGroups()
	if err != nil || groups[group] != "consumer" {
		return fmt.Errorf("groups are %v: %w", groups, err)
	}
	if err := admin.DeleteConsumerGroupOffset(group, topic, 0); err != nil {
		return err
	}
	if err := admin.DeleteConsumerGroup(group); err != nil {
		return err
	}
	if err := admin.DeleteConsumerGroup(group); !errors.Is(err, sarama.ErrGroupIDNotFound) {
		return fmt.Errorf("a deleted group gives %w", err)
	}
	return nil
}

func saramaConfigs(admin sarama.ClusterAdmin) error {
	topic := run + "-sarama-configs"
	value := "7200000"
	err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &value}}, false)
	if err != nil {
		return err
	}
	gzip := "gzip"
	err = admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"compression.type": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &gzip},
	}, false)
	if err != nil {
		return err
	}
	if err := eventually(func() error { return saramaConfigIs(admin, topic, "compression.type", "gzip") }); err != nil {
		return err
	}
	if err := saramaConfigIs(admin, topic, "retention.ms", value); err != nil {
		return err
	}
	if err := admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"segment.ms": &value}, false); err != nil {
		return err
	}
	return eventually(func() error { return saramaConfigIs(admin, topic, "retention.ms", "604800000") })
}

func saramaConfigIs(admin sarama.ClusterAdmin, topic, name, want string) error {
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{name}})
	if err != nil {
		return err
	}
	if len(entries) != 1 || entries[0].Value != want {
		return fmt.Errorf("%s is %+v, want %s", name, entries, want)
	}
	return nil
}

func saramaTopics(admin sarama.ClusterAdmin) error {
	topic := run + "-sarama-configs"
	if err := admin.CreatePartitions(topic, 3, nil, false); err != nil {
		return err
	}
	if err := eventually(func() error {
		ds, err := admin.DescribeTopics([]string{topic})
		if err != nil || len(ds[0].Partitions) != 3 {
			return fmt.Errorf("topic is %+v: %w", ds, err)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := saramaSend(saramaConfig(), run+"-sarama-group", values("d", 30)); err != nil {
		return err
	}
	if err := admin.DeleteRecords(run+"-sarama-group", map[int32]int64{0: -1}); err != nil {
		return err
	}
	dirs, err := admin.DescribeLogDirs([]int32{1})
	if err != nil || len(dirs[1]) == 0 {
		return fmt.Errorf("log dirs are %v: %w", dirs, err)
	}
	if err := admin.DeleteTopic(topic); err != nil {
		return err
	}
	return eventually(func() error {
		ts, err := admin.ListTopics()
		if _, there := ts[topic]; there || err != nil {
			return fmt.Errorf("topic is still listed: %w", err)
		}
		return nil
	})
}

// saramaOld uses the oldest versions that Apache Kafka 4 still serves.
func saramaOld() error {
	conf := saramaConfig()
	conf.Version = sarama.V2_1_0_0
	topic := run + "-sarama-old"
	if err := saramaSend(conf, topic, values("old", 10)); err != nil {
		return err
	}
	return saramaRead(topic, values("old", 10))
}
