package streamsgroup

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

// configured is what a topology comes to with the topics of one moment.
type configured struct {
	revision      int64 // of the topics
	topologyEpoch int32
	// hash stands for the topics that the topology reads.
	hash int64
	// tasks are how many tasks each subtopology has; nil if the topology cannot run.
	tasks map[string]int32
	// stateful are the subtopologies with a changelog.
	stateful map[string]bool
	// sources are the topics that the tasks of a subtopology read, with their partitions.
	sources map[string]map[string]int32
	// internal are the numbers of partitions that internal topics have to have.
	internal map[string]int32
	// problem, if not nil, is why the topology cannot run; create is what would help.
	problem *Status
	create  []NewTopic
}

// configure finds out how many partitions everything has to have. See Kafka's InternalTopicManager for the rules.
func configure(t *Topology, topics Topics) *configured {
	c := &configured{
		revision: topics.Revision(), topologyEpoch: t.Epoch, stateful: map[string]bool{}, sources: map[string]map[string]int32{}, internal: map[string]int32{},
	}
	b := builder{configured: c, topology: t, topics: topics, counts: map[string]int32{}, read: map[string][]string{}}
	if b.findSources() && b.decideRepartitions() && b.copartition() && b.checkInternal() {
		c.tasks = map[string]int32{}
		for i := range t.Subtopologies {
			s := &t.Subtopologies[i]
			c.tasks[s.ID] = b.tasksOf(s)
		}
	}
	c.hash = b.hash()
	return c
}

type builder struct {
	*configured
	topology *Topology
	topics   Topics
	// counts are the partitions of topics as far as they are decided.
	counts map[string]int32
	// read are the source topics of each subtopology that exist, those of regular expressions included.
	read map[string][]string
}

func (b *builder) fail(code StatusCode, format string, args ...any) bool {
	b.problem = &Status{code, fmt.Sprintf(format, args...)}
	return false
}

// findSources looks for the topics that the application reads and does not make itself.
func (b *builder) findSources() bool {
	var missing []string
	for i := range b.topology.Subtopologies {
		s := &b.topology.Subtopologies[i]
		b.stateful[s.ID] = len(s.StateChangelogTopics) > 0
		names := slices.Clone(s.SourceTopics)
		for _, pattern := range s.SourceTopicRegex {
			found := b.matching(pattern)
			if len(found) == 0 {
				missing = append(missing, pattern)
			}
			names = append(names, found...)
		}
		slices.Sort(names)
		names = slices.Compact(names)
		b.read[s.ID] = names
		for _, name := range names {
			n := b.topics.Partitions(name)
			if n == 0 {
				missing = append(missing, name)
				continue
			}
			b.counts[name] = n
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return b.fail(MissingSourceTopics, "Source topics %s are missing.", strings.Join(slices.Compact(missing), ", "))
	}
	return true
}

// matching returns the topics that a regular expression names as a whole. One that cannot be compiled names none.
func (b *builder) matching(pattern string) []string {
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	if err != nil {
		return nil
	}
	var out []string
	for _, name := range b.topics.Names() {
		if !strings.HasPrefix(name, "__") && re.MatchString(name) {
			out = append(out, name)
		}
	}
	return out
}

// decideRepartitions gives repartition topics without a number the most partitions of what is written into them, from
// the sources of the application on.
func (b *builder) decideRepartitions() bool {
	undecided := map[string]bool{}
	for i := range b.topology.Subtopologies {
		for _, r := range b.topology.Subtopologies[i].RepartitionSourceTopics {
			if r.Partitions > 0 {
				b.counts[r.Name] = r.Partitions
			} else if b.counts[r.Name] == 0 {
				undecided[r.Name] = true
			}
		}
	}
	for progress := true; progress && len(undecided) > 0; {
		progress = false
		for i := range b.topology.Subtopologies {
			s := &b.topology.Subtopologies[i]
			n, complete := b.mostSources(s)
			if !complete || n == 0 {
				continue
			}
			for _, sink := range s.RepartitionSinkTopics {
				if undecided[sink] && b.writersDecided(sink) {
					b.counts[sink] = b.mostOfWriters(sink)
					delete(undecided, sink)
					progress = true
				}
			}
		}
	}
	if len(undecided) > 0 {
		return b.fail(MissingSourceTopics, "Failed to compute number of partitions for all repartition topics: no source topics lead to some of them.")
	}
	return true
}

// mostSources returns the largest number of partitions among the sources of s, and whether all are decided.
func (b *builder) mostSources(s *streamsrecord.Subtopology) (n int32, complete bool) {
	complete = true
	for _, name := range b.read[s.ID] {
		n = max(n, b.counts[name])
	}
	for _, r := range s.RepartitionSourceTopics {
		n = max(n, b.counts[r.Name])
		complete = complete && b.counts[r.Name] > 0
	}
	return n, complete
}

func (b *builder) writersDecided(sink string) bool {
	for i := range b.topology.Subtopologies {
		s := &b.topology.Subtopologies[i]
		if _, complete := b.mostSources(s); !complete && slices.Contains(s.RepartitionSinkTopics, sink) {
			return false
		}
	}
	return true
}

func (b *builder) mostOfWriters(sink string) (n int32) {
	for i := range b.topology.Subtopologies {
		s := &b.topology.Subtopologies[i]
		if slices.Contains(s.RepartitionSinkTopics, sink) {
			most, _ := b.mostSources(s)
			n = max(n, most)
		}
	}
	return n
}

// copartition holds the members of copartition groups to one number.
func (b *builder) copartition() bool {
	for i := range b.topology.Subtopologies {
		s := &b.topology.Subtopologies[i]
		for _, g := range s.CopartitionGroups {
			if !b.copartitionOne(s, &g) {
				return false
			}
		}
	}
	return true
}

func (b *builder) copartitionOne(s *streamsrecord.Subtopology, g *streamsrecord.CopartitionGroup) bool {
	var fixed, free []string
	for _, i := range g.SourceTopics {
		fixed = append(fixed, s.SourceTopics[i])
	}
	for _, i := range g.SourceTopicRegex {
		fixed = append(fixed, b.matching(s.SourceTopicRegex[i])...)
	}
	for _, i := range g.RepartitionSourceTopics {
		r := &s.RepartitionSourceTopics[i]
		if r.Partitions > 0 {
			fixed = append(fixed, r.Name)
		} else {
			free = append(free, r.Name)
		}
	}
	var n int32
	for _, name := range fixed {
		if n != 0 && b.counts[name] != n {
			slices.Sort(fixed)
			return b.fail(IncorrectlyPartitionedTopics, "Following topics do not have the same number of partitions: [{%s}]", b.describe(slices.Compact(fixed)))
		}
		n = b.counts[name]
	}
	if len(fixed) == 0 {
		for _, name := range free {
			n = max(n, b.counts[name])
		}
	}
	for _, name := range free {
		b.counts[name] = n
	}
	return true
}

func (b *builder) describe(names []string) string {
	var out []string
	for _, name := range names {
		out = append(out, fmt.Sprintf("%s=%d", name, b.counts[name]))
	}
	return strings.Join(out, ", ")
}

func (b *builder) tasksOf(s *streamsrecord.Subtopology) int32 {
	n, _ := b.mostSources(s)
	sources := map[string]int32{}
	for _, name := range b.read[s.ID] {
		sources[name] = b.counts[name]
	}
	for _, r := range s.RepartitionSourceTopics {
		sources[r.Name] = b.counts[r.Name]
	}
	b.sources[s.ID] = sources
	return n
}

// checkInternal compares the internal topics that exist with what they have to be, and lists those that do not.
func (b *builder) checkInternal() bool {
	want := map[string]NewTopic{}
	for i := range b.topology.Subtopologies {
		s := &b.topology.Subtopologies[i]
		for _, r := range s.RepartitionSourceTopics {
			want[r.Name] = NewTopic{r.Name, b.counts[r.Name], r.Replication, r.Configs}
		}
		n, _ := b.mostSources(s)
		for _, r := range s.StateChangelogTopics {
			// A changelog that is a source topic of the application is there already.
			if _, source := b.counts[r.Name]; !source {
				want[r.Name] = NewTopic{r.Name, n, r.Replication, r.Configs}
			}
		}
	}
	for _, t := range want {
		b.internal[t.Name] = t.Partitions
		switch n := b.topics.Partitions(t.Name); n {
		case t.Partitions:
		case 0:
			b.create = append(b.create, t)
		default:
			// The first by name, so that the words do not change from heartbeat to heartbeat.
			if b.problem == nil || t.Name < b.problem.Detail {
				b.problem = &Status{IncorrectlyPartitionedTopics, t.Name}
			}
		}
	}
	if b.problem != nil {
		name := b.problem.Detail
		b.create = nil
		return b.fail(IncorrectlyPartitionedTopics, "Existing topic %s has %d partitions, it must have %d: clean up the internal topics of the application before it runs.",
			name, b.topics.Partitions(name), want[name].Partitions)
	}
	if len(b.create) == 0 {
		return true
	}
	slices.SortFunc(b.create, func(x, y NewTopic) int { return cmp.Compare(x.Name, y.Name) })
	var names []string
	for _, t := range b.create {
		names = append(names, t.Name)
	}
	return b.fail(MissingInternalTopics, "Internal topics are missing: %s", strings.Join(names, ", "))
}

// hash stands for the topics of the topology: their names and partitions.
func (b *builder) hash() int64 {
	names := map[string]struct{}{}
	for _, list := range b.read {
		for _, name := range list {
			names[name] = struct{}{}
		}
	}
	for i := range b.topology.Subtopologies {
		s := &b.topology.Subtopologies[i]
		for _, list := range [][]streamsrecord.TopicInfo{s.RepartitionSourceTopics, s.StateChangelogTopics} {
			for _, r := range list {
				names[r.Name] = struct{}{}
			}
		}
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	h := fnv.New64a()
	for _, name := range sorted {
		n := b.topics.Partitions(name)
		_, _ = h.Write(binary.BigEndian.AppendUint32(append([]byte(name), 0), uint32(n))) // never fails
	}
	return int64(h.Sum64())
}

// checkTopology refuses a topology that is not one in itself; the words are for the client.
func checkTopology(t *Topology) string {
	seen := map[string]bool{}
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		if seen[s.ID] {
			return fmt.Sprintf("Subtopology %s stands twice in the topology.", s.ID)
		}
		seen[s.ID] = true
		for _, pattern := range s.SourceTopicRegex {
			if _, err := regexp.Compile(pattern); err != nil || len(pattern) > maxPatternBytes {
				return fmt.Sprintf("Regular expression %.100q of subtopology %s is not valid.", pattern, s.ID)
			}
		}
		for _, g := range s.CopartitionGroups {
			for _, c := range []struct {
				indexes []int16
				n       int
			}{{g.SourceTopics, len(s.SourceTopics)}, {g.SourceTopicRegex, len(s.SourceTopicRegex)}, {g.RepartitionSourceTopics, len(s.RepartitionSourceTopics)}} {
				for _, i := range c.indexes {
					if i < 0 || int(i) >= c.n {
						return fmt.Sprintf("A copartition group of subtopology %s names topic %d of %d.", s.ID, i, c.n)
					}
				}
			}
		}
	}
	return ""
}

// maxPatternBytes bounds a regular expression of a client.
const maxPatternBytes = 1024
