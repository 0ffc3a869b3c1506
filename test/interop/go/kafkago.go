package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

func kafkagoChecks() {
	cl := &kafka.Client{Addr: kafka.TCP(servers...), Timeout: time.Minute}
	for i, codec := range codecs {
		check("produce "+codec, func() error { return kafkagoProduce(cl, codec, kafka.Compression(i)) })
	}
	check("seed", func() error { return kafkagoRead(seed, seeded()) })
	check("group of two", func() error { return kafkagoGroup(cl) })
	check("admin", func() error { return kafkagoAdmin(cl) })
}

func kafkagoCreate(cl *kafka.Client, topic string, partitions int, configs ...kafka.ConfigEntry) error {
	resp, err := cl.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: configs},
	}})
	return errors.Join(err, errorOf(resp, func(r *kafka.CreateTopicsResponse) error { return r.Errors[topic] }))
}

// errorOf returns the error inside a response that may be nil.
func errorOf[R any](resp *R, f func(*R) error) error {
	if resp == nil {
		return nil
	}
	return f(resp)
}

func kafkagoSend(topic string, codec kafka.Compression, vs []string) error {
	w := &kafka.Writer{Addr: kafka.TCP(servers...), Topic: topic, Compression: codec, RequiredAcks: kafka.RequireAll, BatchTimeout: 10 * time.Millisecond, Balancer: &kafka.RoundRobin{}}
	defer w.Close()
	var ms []kafka.Message
	for _, v := range vs {
		ms = append(ms, kafka.Message{Value: []byte(v)})
	}
	return eventually(func() error { return w.WriteMessages(context.Background(), ms...) })
}

func kafkagoProduce(cl *kafka.Client, name string, codec kafka.Compression) error {
	topic := run + "-kafkago-" + name
	if err := kafkagoCreate(cl, topic, 1); err != nil {
		return err
	}
	want := values("kafkago-"+name, 10)
	if err := kafkagoSend(topic, codec, want); err != nil {
		return err
	}
	return kafkagoRead(topic, want)
}

func kafkagoRead(topic string, want []string) error {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: servers, Topic: topic, MaxWait: 200 * time.Millisecond})
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < len(want) {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return errors.Join(err, same(got, want))
		}
		got = append(got, string(m.Value))
	}
	return same(got, want)
}

func kafkagoGroup(cl *kafka.Client) error {
	topic, group := run+"-kafkago-group", run+"-kafkago-group"
	if err := kafkagoCreate(cl, topic, 4); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		got [2][]string
	)
	for i := range got {
		r := kafka.NewReader(kafka.ReaderConfig{
			Brokers: servers, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset, MaxWait: 200 * time.Millisecond,
			HeartbeatInterval: 500 * time.Millisecond, JoinGroupBackoff: 200 * time.Millisecond, RebalanceTimeout: 10 * time.Second,
		})
		wg.Go(func() {
			defer r.Close()
			for ctx.Err() == nil {
				if m, err := r.ReadMessage(ctx); err == nil { // which commits too
					mu.Lock()
					got[i] = append(got[i], string(m.Value))
					mu.Unlock()
				}
			}
		})
	}
	err := eventually(func() error {
		d, err := cl.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
		if err != nil || d.Groups[0].GroupState != "Stable" || len(d.Groups[0].Members) != 2 {
			return fmt.Errorf("group is %+v: %w", d, err)
		}
		return nil
	})
	want := values("g", 80)
	if err == nil {
		err = kafkagoSend(topic, kafka.Snappy, want)
	}
	if err == nil {
		err = eventually(func() error {
			mu.Lock()
			defer mu.Unlock()
			if len(got[0]) == 0 || len(got[1]) == 0 {
				return errors.New("one member got nothing")
			}
			return same(append(append([]string(nil), got[0]...), got[1]...), want)
		})
	}
	cancel()
	wg.Wait()
	if err != nil {
		return err
	}
	return kafkagoGroupAdmin(cl, topic, group)
}

func kafkagoGroupAdmin(cl *kafka.Client, topic, group string) error {
	ctx := context.Background()
	o, err := cl.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1, 2, 3}}})
	if err != nil {
		return err
	}
	sum := int64(0)
	for _, p := range o.Topics[topic] {
		sum += max(p.CommittedOffset, 0)
	}
	if sum != 80 {
		return fmt.Errorf("committed offsets make %d", sum)
	}
	l, err := cl.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil || l.Error != nil {
		return errors.Join(err, l.Error)
	}
	found := false
	for _, g := range l.Groups {
		found = found || g.GroupID == group
	}
	if !found {
		return errors.New("the group is not listed")
	}
	return eventually(func() error {
		d, err := cl.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
		return errors.Join(err, errorOf(d, func(r *kafka.DeleteGroupsResponse) error { return r.Errors[group] }))
	})
}

func kafkagoAdmin(cl *kafka.Client) error {
	ctx, topic := context.Background(), run+"-kafkago-admin"
	if err := kafkagoCreate(cl, topic, 1, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "7200000"}); err != nil {
		return err
	}
	if err := kafkagoCreate(cl, topic, 1); !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("a topic made twice gives %w", err)
	}
	_, err := cl.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: "8000000", ConfigOperation: kafka.ConfigOperationSet}},
	}}})
	if err != nil {
		return err
	}
	err = eventually(func() error {
		d, err := cl.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}},
		}})
		if err != nil || d.Resources[0].ConfigEntries[0].ConfigValue != "8000000" {
			return fmt.Errorf("configs are %+v: %w", d, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	p, err := cl.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 3}}})
	if err := errors.Join(err, errorOf(p, func(r *kafka.CreatePartitionsResponse) error { return r.Errors[topic] })); err != nil {
		return err
	}
	offsets, err := cl.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{seed: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
	if err != nil || offsets.Topics[seed][0].FirstOffset != 0 || offsets.Topics[seed][0].LastOffset != 50 {
		return fmt.Errorf("offsets are %+v: %w", offsets, err)
	}
	d, err := cl.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err := errors.Join(err, errorOf(d, func(r *kafka.DeleteTopicsResponse) error { return r.Errors[topic] })); err != nil {
		return err
	}
	return eventually(func() error {
		m, err := cl.Metadata(ctx, &kafka.MetadataRequest{})
		if err != nil {
			return err
		}
		for _, t := range m.Topics {
			if t.Name == topic {
				return errors.New("topic is still listed")
			}
		}
		return nil
	})
}
