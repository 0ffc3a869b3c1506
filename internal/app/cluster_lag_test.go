package app_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
)

// Of each group, wherever it is coordinated, the lag in every partition is told once, whoever owns it.
func TestLagIsToldWhoeverOwnsThePartitions(t *testing.T) {
	t.Parallel()
	const topic, partitions, groups = "t", 6, 4
	store, objects := meta.NewMem(nil), blob.NewMem()
	balance := []string{"cluster.balance.settle.ms=0", "offsets.topic.num.partitions=6"}
	one := startJoined(t, store, objects, balance...)
	two := startJoined(t, store, objects, balance...)
	one.until(t, "shards at both brokers", func(s app.ClusterStatus) bool {
		return len(s.Brokers) == 2 && len(s.Unowned) == 0 && s.Moving == 0 && owned(s, 1) > 0 && owned(s, 2) > 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(one.Addresses()["kafka"]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	var offsets kadm.Offsets
	for p := range int32(partitions) {
		for range 10 {
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p, Value: []byte("v")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		offsets.Add(kadm.Offset{Topic: topic, Partition: p, At: int64(p), LeaderEpoch: -1})
	}
	want := map[string]bool{}
	for g := range groups {
		if err := adm.CommitAllOffsets(ctx, fmt.Sprint("g", g), offsets); err != nil {
			t.Fatal(err)
		}
		for p := range partitions {
			want[fmt.Sprintf(`kafka_consumergroup_lag{consumergroup="g%d",partition="%d",topic="t"} %d`, g, p, 10-p)] = true
		}
		want[fmt.Sprintf(`kafka_consumergroup_lag_sum{consumergroup="g%d",topic="t"} 45`, g)] = true
	}
	told := map[string]int{}
	for _, b := range []*joined{one, two} {
		_, text := b.ask(t, "GET", "/metrics", nil)
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "kafka_consumergroup_lag") {
				told[strings.TrimSpace(line)]++
			}
		}
	}
	for line := range want {
		if told[line] != 1 {
			t.Errorf("%s is told %d times", line, told[line])
		}
	}
	if len(told) != len(want) {
		t.Errorf("told is %v", told)
	}
}
