package share

import (
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/sharerecord"
)

// topicPartition is one partition.
type topicPartition struct {
	topic     kafka.TopicID
	partition int32
}

// assignSimple makes an assignment as Kafka's simple assignor does: every partition with a state goes to at least one
// member that reads it, and where there are more members than partitions several share one, evenly. Members keep what
// they have as far as that allows. The result has an entry for each member.
//
// Where all members read the same topics all partitions are dealt out together; else topic by topic.
func assignSimple(s *group, topics Topics) map[string][]TopicPartitions {
	members := slices.Sorted(maps.Keys(s.members))
	out := make(map[string]map[topicPartition]bool, len(members))
	for _, m := range members {
		out[m] = map[topicPartition]bool{}
	}
	first := s.members[members[0]].info.SubscribedTopics
	alike := !slices.ContainsFunc(members, func(m string) bool { return !slices.Equal(s.members[m].info.SubscribedTopics, first) })
	if alike {
		var all []topicPartition
		for _, name := range first {
			all = append(all, s.assignable(name, topics)...)
		}
		deal(s, members, all, out)
	} else {
		for _, name := range s.topics("", nil) {
			readers := slices.DeleteFunc(slices.Clone(members), func(m string) bool {
				return !slices.Contains(s.members[m].info.SubscribedTopics, name)
			})
			deal(s, readers, s.assignable(name, topics), out)
		}
	}
	target := make(map[string][]TopicPartitions, len(members))
	for m, has := range out {
		target[m] = gather(has)
	}
	return target
}

// assignable are the partitions of a topic that have a state.
func (s *group) assignable(name string, topics Topics) []topicPartition {
	id, n, ok := topics.Topic(name)
	if !ok || s.ready[id] == nil {
		return nil
	}
	var out []topicPartition
	for _, p := range s.ready[id].list {
		if p < n {
			out = append(out, topicPartition{id, p})
		}
	}
	return out
}

// deal gives the partitions to the members, and notes it in out.
func deal(s *group, members []string, all []topicPartition, out map[string]map[topicPartition]bool) {
	if len(members) == 0 || len(all) == 0 {
		return
	}
	sharing := (len(members) + len(all) - 1) / len(all) // members of a partition
	// Members get total/len(members) partitions on average: the i-th one so many that the sum is right after each.
	total := len(all) * sharing
	quota := make(map[string]int, len(members))
	for i, m := range members {
		quota[m] = (total*(i+1)+len(members)-1)/len(members) - (total*i+len(members)-1)/len(members)
	}
	holders := make(map[topicPartition]int, len(all))
	wanted := make(map[topicPartition]bool, len(all))
	for _, p := range all {
		wanted[p] = true
	}
	left := map[string]int{}
	for _, m := range members {
		left[m] = quota[m]
		for _, t := range s.targets[m] {
			for _, i := range t.Partitions {
				p := topicPartition{t.ID, i}
				if wanted[p] && left[m] > 0 && holders[p] < sharing {
					out[m][p] = true
					holders[p]++
					left[m]--
				}
			}
		}
	}
	fill(members, all, sharing, holders, left, out)
}

// fill gives the partitions that lack members to the members that lack partitions, in turns. First every partition gets
// one, so that none is without.
func fill(members []string, all []topicPartition, sharing int, holders map[topicPartition]int, left map[string]int, out map[string]map[topicPartition]bool) {
	next := 0
	give := func(p topicPartition) bool {
		for range members {
			m := members[next%len(members)]
			next++
			if left[m] > 0 && !out[m][p] {
				out[m][p] = true
				holders[p]++
				left[m]--
				return true
			}
		}
		return false
	}
	for _, p := range all {
		if holders[p] == 0 {
			give(p)
		}
	}
	for _, p := range all {
		for holders[p] < sharing && give(p) {
		}
	}
	// What members hold already may leave a partition without one: it takes the first that may have one more.
	for _, p := range all {
		if holders[p] == 0 {
			out[members[next%len(members)]][p] = true
			next++
		}
	}
}

func gather(has map[topicPartition]bool) []TopicPartitions {
	byTopic := map[kafka.TopicID][]int32{}
	for p := range has {
		byTopic[p.topic] = append(byTopic[p.topic], p.partition)
	}
	var out []TopicPartitions
	for id, list := range byTopic {
		slices.Sort(list)
		out = append(out, TopicPartitions{ID: id, Partitions: list})
	}
	slices.SortFunc(out, func(a, b TopicPartitions) int { return sharerecord.CompareIDs(a.ID, b.ID) })
	return out
}
