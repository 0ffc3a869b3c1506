package consumers_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/rest/consumers"
	"github.com/weir-stream/weir/weirtest"
)

func TestIdleInstancesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := consumers.New(consumers.Options{Idle: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { m.Run(ctx) })
		for _, name := range []string{"idle", "used"} {
			if _, err := m.Create("User:a", "g", consumers.Config{Name: name}, nil); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			<-time.After(30 * time.Second) // of the bubble
			if _, err := m.Get("User:a", "g", "used"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Get("User:a", "g", "idle"); !errors.Is(err, consumers.ErrNotFound) {
			t.Errorf("the idle instance: %v", err)
		}
		cancel()
		running.Wait()
		if m.Len() != 0 {
			t.Errorf("%d instances are left", m.Len())
		}
		if _, err := m.Create("User:a", "g", consumers.Config{Name: "late"}, nil); err == nil {
			t.Error("an instance was made after the end")
		}
	})
}

func TestInstancesBelongToTheirPrincipal(t *testing.T) {
	t.Parallel()
	m := consumers.New(consumers.Options{Max: 2})
	create := func(principal, name string) error {
		_, err := m.Create(principal, "g", consumers.Config{Name: name}, nil)
		return err
	}
	if err := create("User:a", "i"); err != nil {
		t.Fatal(err)
	}
	if err := create("User:a", "i"); !errors.Is(err, consumers.ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	if _, err := m.Get("User:b", "g", "i"); !errors.Is(err, consumers.ErrNotFound) {
		t.Errorf("another principal: %v", err)
	}
	if err := m.Delete(t.Context(), "User:b", "g", "i"); !errors.Is(err, consumers.ErrNotFound) {
		t.Errorf("another principal deletes: %v", err)
	}
	if err := create("User:b", "i"); err != nil {
		t.Errorf("the same name of another principal: %v", err)
	}
	if err := create("User:b", "j"); !errors.Is(err, consumers.ErrTooMany) {
		t.Errorf("one more than may be: %v", err)
	}
}

// Two instances share a topic, what is delivered to one is not delivered to the other, and one that goes leaves its partitions.
func TestInstancesShareTheirGroup(t *testing.T) {
	t.Parallel()
	broker := weirtest.Start(t, weirtest.Topic("t", 2))
	dial := func(opts ...kgo.Opt) (*kgo.Client, error) {
		return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(broker.Addr())}, opts...)...)
	}
	producer, err := dial(kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	m := consumers.New(consumers.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	instances := map[string]*consumers.Instance{}
	for _, name := range []string{"a", "b"} {
		i, err := m.Create("User:a", "g", consumers.Config{Name: name, OffsetReset: "earliest", AutoCommit: true}, dial)
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Subscribe(ctx, []string{"t"}, ""); err != nil {
			t.Fatal(err)
		}
		instances[name] = i
	}
	for balanced := false; !balanced; { // each poll lets the group go on
		balanced = true
		for _, i := range instances {
			if err := i.Records(ctx, 10*time.Millisecond, 0, func(*kgo.Record) error { return nil }); err != nil {
				t.Fatal(err)
			}
			partitions, err := i.Assignment(ctx)
			if err != nil {
				t.Fatal(err)
			}
			balanced = balanced && len(partitions) == 1
		}
	}
	got := map[string]int{}
	read := func(i *consumers.Instance, want int) {
		t.Helper()
		for len(got) < want {
			err := i.Records(ctx, time.Second, 10, func(r *kgo.Record) error { // ten bytes: a few at a time
				got[string(r.Value)]++
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	produce := func(values ...string) {
		t.Helper()
		for _, v := range values {
			if err := producer.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	produce("one", "two", "three", "four")
	read(instances["a"], 2)
	read(instances["b"], 4)
	if err := m.Delete(ctx, "User:a", "g", "a"); err != nil {
		t.Fatal(err)
	}
	produce("five", "six")
	read(instances["b"], 6)
	for v, n := range got {
		if n != 1 {
			t.Errorf("%s was delivered %d times", v, n)
		}
	}
	if err := m.Delete(ctx, "User:a", "g", "b"); err != nil {
		t.Fatal(err)
	}
}
