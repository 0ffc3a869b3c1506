package assignor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-stream/weir/internal/kafka"
)

func topic(name string) (id kafka.TopicID) { copy(id[:], name); return id }

// groupOf reads "a:t,u b:u" and "t=3 u=2"; has is "a:t=0,1 b:u=0".
func groupOf(members, partitions, has string) Group {
	g := Group{Partitions: map[kafka.TopicID]int32{}}
	for word := range strings.FieldsSeq(members) {
		id, topics, _ := strings.Cut(word, ":")
		m := Member{Has: Assignment{}}
		m.ID, m.InstanceID, _ = strings.Cut(id, "/")
		for t := range strings.SplitSeq(topics, ",") {
			m.Topics = append(m.Topics, topic(t))
		}
		g.Members = append(g.Members, m)
	}
	for word := range strings.FieldsSeq(partitions) {
		t, n, _ := strings.Cut(word, "=")
		g.Partitions[topic(t)] = int32(n[0] - '0')
	}
	for word := range strings.FieldsSeq(has) {
		id, rest, _ := strings.Cut(word, ":")
		t, list, _ := strings.Cut(rest, "=")
		i := slices.IndexFunc(g.Members, func(m Member) bool { return m.ID == id })
		for p := range strings.SplitSeq(list, ",") {
			g.Members[i].Has[topic(t)] = append(g.Members[i].Has[topic(t)], int32(p[0]-'0'))
		}
	}
	return g
}

func format(g Group, got []Assignment) string {
	var words []string
	for i := range got {
		for _, t := range slices.SortedFunc(maps.Keys(got[i]), compareTopics) {
			words = append(words, fmt.Sprintf("%s:%s=%s", g.Members[i].ID, strings.TrimRight(string(t[:]), "\x00"), strings.Trim(strings.ReplaceAll(fmt.Sprint(got[i][t]), " ", ","), "[]")))
		}
	}
	return strings.Join(words, " ")
}

// What is expected follows from the rules of Apache Kafka 4.3.1, where they do not hang on the order of a hash table.
func TestAssign(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, assignor, members, partitions, has, want string }{
		{"range: one topic, even", Range, "a:t b:t", "t=4", "", "a:t=0,1 b:t=2,3"},
		{"range: two topics, the first member has more of each", Range, "a:t,u b:t,u", "t=3 u=2", "", "a:t=0,1 a:u=0 b:t=2 b:u=1"},
		{"range: co-partitioned topics stay together", Range, "a:t,u b:t,u c:t,u", "t=3 u=3", "", "a:t=0 a:u=0 b:t=1 b:u=1 c:t=2 c:u=2"},
		{"range: more members than partitions", Range, "a:t b:t c:t", "t=2", "", "a:t=0 b:t=1"},
		{"range: different subscriptions", Range, "a:t,u b:u c:t", "t=3 u=3", "", "a:t=0,1 a:u=0,1 b:u=2 c:t=2"},
		{"range: static members are first, by instance", Range, "a:t b/y:t c/x:t", "t=3", "", "a:t=2 b:t=1 c:t=0"},
		{"range: does not look at what members have", Range, "a:t b:t", "t=2", "a:t=1 b:t=0", "a:t=0 b:t=1"},
		{"uniform: first assignment", Uniform, "a:t b:t", "t=3", "", "a:t=0,1 b:t=2"},
		{"uniform: a member comes in", Uniform, "a:t b:t", "t=6", "a:t=0,1,2,3,4,5", "a:t=0,1,2 b:t=3,4,5"},
		{"uniform: members keep what they have", Uniform, "a:t b:t", "t=4", "a:t=1,3 b:t=0,2", "a:t=1,3 b:t=0,2"},
		{"uniform: a member has left", Uniform, "a:t b:t", "t=6", "a:t=0,1 b:t=4,5", "a:t=0,1,2 b:t=3,4,5"},
		{"uniform: partitions are added", Uniform, "a:t b:t", "t=6", "a:t=0,1 b:t=2,3", "a:t=0,1,4 b:t=2,3,5"},
		{"uniform: a topic is not read any more", Uniform, "a:u b:u", "u=2", "a:t=0,1", "a:u=0 b:u=1"},
		{"uniform: topics go on top of each other", Uniform, "a:t,u b:t,u", "t=3 u=3", "", "a:t=0,1,2 b:u=0,1,2"},
		{"uniform mixed: the one reader of a topic gets less of the others", Uniform, "a:t,u b:u", "t=2 u=4", "", "a:t=0,1 a:u=2 b:u=0,1,3"},
		{"uniform mixed: what is had stays", Uniform, "a:t,u b:u", "t=2 u=4", "a:t=0,1 a:u=0 b:u=1,2,3", "a:t=0,1 a:u=0 b:u=1,2,3"},
		{"uniform mixed: moves from the one with most", Uniform, "a:t,u b:u", "t=2 u=4", "a:t=0,1 a:u=0,1,2,3", "a:t=0,1 a:u=0 b:u=1,2,3"},
		{"nobody", Uniform, "", "", "", ""},
	} {
		g := groupOf(c.members, c.partitions, c.has)
		if got := format(g, Assign(c.assignor, g)); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestAssignGivesEveryPartitionToOneReader(t *testing.T) {
	t.Parallel()
	names := []string{"t", "u", "v", "w"}
	rapid.Check(t, func(t *rapid.T) {
		g := Group{Partitions: map[kafka.TopicID]int32{}}
		for _, name := range names {
			g.Partitions[topic(name)] = rapid.Int32Range(1, 12).Draw(t, name)
		}
		for i := range rapid.IntRange(1, 6).Draw(t, "members") {
			m := Member{ID: fmt.Sprint(i)}
			for _, name := range names {
				if rapid.Bool().Draw(t, "reads") {
					m.Topics = append(m.Topics, topic(name))
				}
			}
			g.Members = append(g.Members, m)
		}
		for range 3 {
			name := rapid.SampledFrom(Names()).Draw(t, "assignor")
			got := Assign(name, g)
			checkAssignment(t, g, got)
			if name == Uniform {
				checkBalance(t, g, got)
			}
			for i := range g.Members {
				g.Members[i].Has = got[i]
			}
			if name == Uniform {
				if again := Assign(name, g); format(g, again) != format(g, got) {
					t.Fatalf("divided again without need\n got %s\nwant %s", format(g, again), format(g, got))
				}
			}
			// Somebody changes a subscription.
			i := rapid.IntRange(0, len(g.Members)-1).Draw(t, "who")
			if n := len(g.Members[i].Topics); n > 0 {
				g.Members[i].Topics = g.Members[i].Topics[:n-1]
			}
			g.Partitions[topic("t")]++
		}
	})
}

func checkAssignment(t *rapid.T, g Group, got []Assignment) {
	owners := map[partition]int{}
	for i := range got {
		for id, list := range got[i] {
			if !slices.Contains(g.Members[i].Topics, id) || !slices.IsSorted(list) || len(list) == 0 {
				t.Fatalf("member %d got %v of %s, which it may not read", i, list, id)
			}
			for _, p := range list {
				if other, ok := owners[partition{id, p}]; ok {
					t.Fatalf("%s-%d goes to %d and to %d", id, p, other, i)
				}
				owners[partition{id, p}] = i
			}
		}
	}
	want := 0
	for id, n := range g.Partitions {
		if slices.ContainsFunc(g.Members, func(m Member) bool { return slices.Contains(m.Topics, id) }) {
			want += int(n)
		}
	}
	if len(owners) != want {
		t.Fatalf("%d partitions were given out, of %d", len(owners), want)
	}
}

// checkBalance looks for a partition that would even the members out if it moved.
func checkBalance(t *rapid.T, g Group, got []Assignment) {
	load := make([]int, len(got))
	for i := range got {
		for _, list := range got[i] {
			load[i] += len(list)
		}
	}
	for i := range got {
		for id := range got[i] {
			for j := range got {
				if slices.Contains(g.Members[j].Topics, id) && load[i]-load[j] > 1 {
					t.Fatalf("member %d has %d partitions, %d has %d, and both read %s", i, load[i], j, load[j], id)
				}
			}
		}
	}
}

func BenchmarkUniformMixed(b *testing.B) {
	g := Group{Partitions: map[kafka.TopicID]int32{}}
	for i := range 100 {
		g.Partitions[topic(fmt.Sprint(i))] = 50
	}
	all := slices.SortedFunc(maps.Keys(g.Partitions), compareTopics)
	for i := range 200 {
		g.Members = append(g.Members, Member{ID: fmt.Sprintf("%03d", i), Topics: all[i%50:]})
	}
	for b.Loop() {
		Assign(Uniform, g)
	}
}
