package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

// following runs a store until the end of the test. It needs a synctest bubble.
func following(t *testing.T, s *Store) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
}

// contents is everything that a view says, but for revisions.
func contents(v *View) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d partitions;", v.partitions)
	byID := slices.Clone(v.byID)
	slices.SortFunc(byID, func(a, b *Topic) int { return compareIDs(a.ID, b.ID) })
	if !slices.Equal(byID, v.byID) || len(byID) != len(v.byName) {
		out.WriteString(" ids are not in order;")
	}
	for _, t := range v.byName {
		if at, ok := v.ByID(t.ID); !ok || at != t {
			out.WriteString(" an id is missing;")
		}
		fmt.Fprintf(&out, " %s %s %d %d %v;", t.Name, t.ID, t.Partitions, t.revision, t.Configs)
	}
	for _, m := range []map[string]override{v.brokers, v.groups, v.metrics, v.quotas.byEntity, {featuresName: v.features.override}} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&out, " %q %v %d;", name, m[name].texts, m[name].revision)
		}
	}
	fmt.Fprint(&out, LogRetentionMs.Get(v.broker), v.features.levels)
	return out.String()
}

func TestEveryKindOfChangeReachesTheOtherBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeta(t)
		a, b := openStore(t, m), openStore(t, m)
		following(t, b)
		seven, sixty := "7", "60000"
		interval := "1000"
		for what, change := range map[string]func() error{
			"a broker's setting": func() error {
				return a.AlterConfigs(t.Context(), Resource{Broker, "1"}, []Change{{Name: "log.retention.ms", Value: &seven}}, false)
			},
			"all brokers' setting": func() error {
				return a.AlterConfigs(t.Context(), Resource{Broker, ""}, []Change{{Name: "log.retention.ms", Value: &sixty}}, false)
			},
			"a group's config": func() error {
				return a.AlterConfigs(t.Context(), Resource{Group, "g/1"}, []Change{{Name: "consumer.session.timeout.ms", Value: &sixty}}, false)
			},
			"client metrics": func() error {
				return a.AlterConfigs(t.Context(), Resource{ClientMetrics, "m"}, []Change{{Name: "interval.ms", Value: &interval}}, false)
			},
			"a quota": func() error {
				return a.SetQuotas(t.Context(), []QuotaChange{{"user=x", map[string]*string{"producer_byte_rate": &seven}}})[0]
			},
			"the level of a feature": func() error { return a.SetFeatureLevels(t.Context(), map[string]int16{"transaction.version": 1}) },
			"a topic":                func() error { _, err := a.Create(t.Context(), one("t"), false); return err },
		} {
			quotas, metrics := b.View(), b.View()
			if err := change(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			synctest.Wait()
			if got, want := contents(b.View()), contents(a.View()); got != want {
				t.Errorf("%s:\n got %s\nwant %s", what, got, want)
			}
			if same := b.View().SameQuotas(quotas); same != (what != "a quota") {
				t.Errorf("%s: the same quotas: %v", what, same)
			}
			if same := b.View().SameClientMetrics(metrics); same != (what != "client metrics") {
				t.Errorf("%s: the same client metrics: %v", what, same)
			}
		}
		for what, change := range map[string]func() error{
			"a broker's setting": func() error { return a.ReplaceConfigs(t.Context(), Resource{Broker, "1"}, nil, false) },
			"a group's config":   func() error { return a.ReplaceConfigs(t.Context(), Resource{Group, "g/1"}, nil, false) },
			"client metrics":     func() error { return a.ReplaceConfigs(t.Context(), Resource{ClientMetrics, "m"}, nil, false) },
			"a quota": func() error {
				return a.SetQuotas(t.Context(), []QuotaChange{{"user=x", map[string]*string{"producer_byte_rate": nil}}})[0]
			},
			"a topic": func() error { return a.Delete(t.Context(), Target{Name: "t"})[0] },
		} {
			if err := change(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			synctest.Wait()
			if got, want := contents(b.View()), contents(a.View()); got != want {
				t.Errorf("%s is gone:\n got %s\nwant %s", what, got, want)
			}
		}
	})
}

func TestManyTopicsOfAnotherBrokerAreNotReadAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeta(t)
		counted := meta.NewFault(m, nil)
		a, b := openStore(t, m), openStore(t, counted)
		following(t, b)
		published := 0
		b.OnChange(func(_, _ *View) { published++ })
		before := counted.Ops()
		const count = 10_000
		for i := range count / txnTopics {
			specs := make([]Spec, txnTopics)
			for j := range specs {
				specs[j] = one(fmt.Sprintf("t%05d", i*txnTopics+j))
			}
			for _, c := range a.CreateAll(t.Context(), specs, false) {
				if c.Err != nil {
					t.Fatal(c.Err)
				}
			}
			synctest.Wait()
		}
		if got := len(b.View().All()); got != count || contents(a.View()) != contents(b.View()) {
			t.Fatalf("the other broker has %d topics", got)
		}
		if ops := counted.Ops() - before; ops > 0 {
			t.Errorf("%d operations on the metadata store for what the events say", ops)
		}
		if published > count/10 {
			t.Errorf("%d views for %d topics", published, count)
		}
	})
}

// storm is random changes by two brokers that follow each other, with answers lost.
type storm struct {
	t      *testing.T
	rng    *rand.Rand
	stores []*Store
}

func (s *storm) step() {
	x := s.stores[s.rng.IntN(len(s.stores))]
	name := fmt.Sprintf("t%d", s.rng.IntN(8))
	value := fmt.Sprint(s.rng.IntN(1000) + 1)
	ctx := s.t.Context()
	// Errors are expected: of topics that are there, of answers that are lost.
	switch s.rng.IntN(9) {
	case 0, 1, 2:
		_, _ = x.Create(ctx, one(name), false)
	case 3, 4:
		x.Delete(ctx, Target{Name: name})
	case 5:
		_ = x.AlterConfigs(ctx, Resource{TopicResource, name}, []Change{{Name: "retention.ms", Value: &value}}, false)
	case 6:
		if t, ok := x.View().ByName(name); ok {
			_, _ = x.AddPartitions(ctx, name, t.Partitions+1, nil, false)
		}
	case 7:
		x.SetQuotas(ctx, []QuotaChange{{name, map[string]*string{"request_percentage": &value}}})
	case 8:
		_ = x.AlterConfigs(ctx, Resource{Group, name}, []Change{{Name: "consumer.session.timeout.ms", Op: Op(s.rng.IntN(2)), Value: new("50000")}}, false)
	}
	if s.rng.IntN(3) == 0 {
		synctest.Wait()
	}
}

func TestBrokersAgreeInTheEndAndNothingComesBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			m := newMeta(t)
			rng := rand.New(rand.NewPCG(seed, 1))
			s := &storm{t: t, rng: rng}
			lost, faults := errors.New("broken"), rand.New(rand.NewPCG(seed, 2))
			var faulty []*meta.Fault
			for range 2 {
				store := meta.NewFault(m, nil)
				x := openStore(t, store)
				gone := map[kafka.TopicID]bool{}
				x.OnChange(func(before, after *View) {
					if after.Revision <= before.Revision {
						t.Errorf("seed %d: revision %d after %d", seed, after.Revision, before.Revision)
					}
					for _, old := range before.All() {
						if _, ok := after.ByID(old.ID); !ok {
							gone[old.ID] = true
						}
					}
					for _, now := range after.All() {
						if gone[now.ID] {
							t.Errorf("seed %d: topic %s %s came back", seed, now.Name, now.ID)
						}
					}
				})
				following(t, x)
				s.stores, faulty = append(s.stores, x), append(faulty, store)
			}
			for _, f := range faulty {
				f.Inject(meta.On("/", func(meta.FaultOp) error {
					switch faults.IntN(12) {
					case 0:
						return meta.Lost(lost)
					case 1:
						return lost
					}
					return nil
				}, meta.FaultTxn))
			}
			for range 150 {
				s.step()
			}
			for _, f := range faulty {
				f.Inject(nil)
			}
			<-time.After(10 * time.Second)
			synctest.Wait()
			want := contents(openStore(t, m).View())
			for i, x := range s.stores {
				if got := contents(x.View()); got != want {
					t.Fatalf("seed %d, broker %d:\n got %s\nwant %s", seed, i, got, want)
				}
			}
		})
	}
}

func TestLookAgainFindsWhatHasNotBeenToldYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeta(t)
		counted := meta.NewFault(m, nil)
		a, b := openStore(t, m), openStore(t, counted) // b does not follow
		mustCreate(t, a, one("x"))
		before := counted.Ops()
		if b.LookAgain(t.Context()); counted.Ops() != before {
			t.Error("a broker that is alone has nothing to refresh")
		}
		b.o.Brokers = func() []int32 { return []int32{1, 2} }
		b.LookAgain(t.Context())
		if _, ok := b.View().ByName("x"); !ok {
			t.Fatal("the topic is not found")
		}
		mustCreate(t, a, one("y"))
		before = counted.Ops()
		for range 100 {
			b.LookAgain(t.Context())
		}
		if counted.Ops() != before {
			t.Error("refreshed twice within a second")
		}
		<-time.After(refreshInterval)
		b.LookAgain(t.Context())
		if _, ok := b.View().ByName("y"); !ok {
			t.Error("the second topic is not found")
		}
		<-time.After(refreshInterval)
		counted.Inject(meta.FailFrom(1, errors.New("away")))
		b.LookAgain(t.Context())
		if _, ok := b.View().ByName("y"); !ok {
			t.Error("a refresh that failed took something away")
		}
	})
}

func TestAChangeThatWasLostIsSeenByTheNext(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	store := meta.NewFault(m, nil)
	a, other := openStore(t, store), openStore(t, m)
	broken := errors.New("broken")
	store.Inject(meta.On("t/x", meta.FailNth(1, meta.Lost(broken)), meta.FaultTxn))
	if _, err := a.Create(t.Context(), one("x"), false); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	// Meanwhile another broker changes the same key.
	if err := other.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := other.AddPartitions(t.Context(), "x", 3, nil, false); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Create(t.Context(), one("x"), false); told(err) != "TOPIC_ALREADY_EXISTS Topic 'x' already exists." {
		t.Errorf("got %v", err)
	}
	if x, ok := a.View().ByName("x"); !ok || x.Partitions != 3 {
		t.Errorf("got %+v", x)
	}
	// A conflict: the view is outdated, and the change is made on what is there.
	if _, err := other.AddPartitions(t.Context(), "x", 5, nil, false); err != nil {
		t.Fatal(err)
	}
	if x, err := a.AddPartitions(t.Context(), "x", 6, nil, false); err != nil || x.Partitions != 6 {
		t.Errorf("got %+v, %v", x, err)
	}
	if _, err := other.AddPartitions(t.Context(), "x", 6, nil, false); told(err) != "INVALID_PARTITIONS Topic already has 6 partition(s)." {
		t.Errorf("got %v", err)
	}
}

func TestEventsThatAreLateBringNothingBack(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	s, other := openStore(t, m), openStore(t, m)
	events, err := m.Watch(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, one("x"))
	there := mustCreate(t, other, one("y"))
	five := "5"
	quota := []QuotaChange{{"e", map[string]*string{"request_percentage": &five}}}
	if err := s.SetQuotas(t.Context(), quota)[0]; err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), Target{Name: "x"})[0]; err != nil {
		t.Fatal(err)
	}
	quota[0].Values["request_percentage"] = nil
	if err := s.SetQuotas(t.Context(), quota)[0]; err != nil {
		t.Fatal(err)
	}
	s.OnChange(func(_, v *View) {
		if _, ok := v.ByName("x"); ok || len(v.quotas.byEntity) > 0 {
			t.Errorf("what was deleted is back: %s", contents(v))
		}
	})
	for range 5 {
		if err := s.follow(t.Context(), []meta.Event{<-events}); err != nil {
			t.Fatal(err)
		}
	}
	if y, ok := s.View().ByName("y"); !ok || y.ID != there.ID {
		t.Error("the topic that another broker made meanwhile is missing")
	}
	view := s.View()
	damaged := meta.Event{Kind: meta.Put, Entry: meta.Entry{Key: "t/z", Value: []byte("?"), Revision: 1 << 40}}
	if err := s.follow(t.Context(), []meta.Event{damaged}); !errors.Is(err, meta.ErrCorrupt) || s.View() != view {
		t.Errorf("a damaged topic: %v", err)
	}
}
