// Package assignor holds the two ways in which the broker divides the partitions of topics among the members of a group
// of the consumer protocol (KIP-848): range and uniform. They divide as Apache Kafka's assignors of these names do.
//
//   - Range gives each member neighbouring partitions of every topic, so that members hold the same partitions of topics that
//     are to be joined. Members are in order of their instance ids, then of their member ids.
//   - Uniform gives every member as many partitions as any other, give or take one, and lets it keep what it has.
//
// Where Kafka goes by the order of a hash table (of members, of topics) the order of ids stands here: how many partitions a
// member gets of what is the same, which of equal members gets the one more need not be.
//
// The functions are pure: equal groups are divided equally. Every partition of a topic that somebody reads goes to exactly
// one member that reads the topic.
package assignor

import (
	"bytes"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/kafka"
)

// Assignment are partitions by topic, each list sorted and not empty.
type Assignment map[kafka.TopicID][]int32

// Member is one member of a group.
type Member struct {
	ID         string
	InstanceID string // empty: a dynamic member
	// Topics are the topics that the member reads and that exist, sorted.
	Topics []kafka.TopicID
	// Has is the member's part of the last assignment. It is not changed.
	Has Assignment
}

// Group is what is to be divided.
type Group struct {
	Members []Member // sorted by ID
	// Partitions counts those of every topic that a member reads.
	Partitions map[kafka.TopicID]int32
}

// Names of the assignors, the default one first, as Kafka has them.
const (
	Uniform = "uniform"
	Range   = "range"
)

// Names are all assignors in Kafka's order.
func Names() []string { return []string{Uniform, Range} }

// Assign divides the group by the assignor of this name, which must be one of Names. The result has the order of g.Members.
func Assign(name string, g Group) []Assignment {
	switch {
	case len(g.Members) == 0:
		return nil
	case name == Range:
		return assignRange(g)
	case g.homogeneous():
		return assignUniform(g)
	default:
		return assignUniformMixed(g)
	}
}

// homogeneous tells whether all members read the same topics.
func (g *Group) homogeneous() bool {
	return !slices.ContainsFunc(g.Members[1:], func(m Member) bool { return !slices.Equal(m.Topics, g.Members[0].Topics) })
}

// assignRange deals the partitions of each topic out in one round: every reader gets the next ones in number.
func assignRange(g Group) []Assignment {
	order := make([]int, len(g.Members))
	readers := map[kafka.TopicID]int32{}
	for i := range g.Members {
		order[i] = i
		for _, t := range g.Members[i].Topics {
			readers[t]++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareMembers(&g.Members[a], &g.Members[b]) })
	type place struct{ next, dealt int32 }
	places := map[kafka.TopicID]place{}
	out := make([]Assignment, len(g.Members))
	for _, i := range order {
		out[i] = Assignment{}
		for _, t := range g.Members[i].Topics {
			p, n := places[t], g.Partitions[t]
			count := n / readers[t]
			if p.dealt < n%readers[t] {
				count++
			}
			for partition := p.next; partition < p.next+count; partition++ {
				out[i][t] = append(out[i][t], partition)
			}
			places[t] = place{p.next + count, p.dealt + 1}
		}
	}
	return out
}

// compareMembers puts static members first, by their instance ids.
func compareMembers(a, b *Member) int {
	switch {
	case a.InstanceID != "" && b.InstanceID != "":
		return strings.Compare(a.InstanceID, b.InstanceID)
	case a.InstanceID != "":
		return -1
	case b.InstanceID != "":
		return 1
	}
	return strings.Compare(a.ID, b.ID)
}

// partition is one partition of a topic.
type partition struct {
	topic kafka.TopicID
	index int32
}

// assignUniform divides among members that read the same: each keeps what it has up to its share, and what is left over
// goes to those with less.
func assignUniform(g Group) []Assignment {
	topics := g.Members[0].Topics
	owned := map[partition]bool{}
	total := int32(0)
	for i := range g.Members {
		for t, list := range g.Members[i].Has {
			for _, p := range list {
				owned[partition{t, p}] = true
			}
		}
	}
	var free []partition
	for _, t := range topics {
		total += g.Partitions[t]
		for p := range g.Partitions[t] {
			if !owned[partition{t, p}] {
				free = append(free, partition{t, p})
			}
		}
	}
	members := int32(len(g.Members))
	out := make([]Assignment, len(g.Members))
	room := make([]int32, len(g.Members))
	for i := range g.Members {
		room[i] = total / members
		if int32(i) < total%members {
			room[i]++
		}
		out[i] = Assignment{}
		for _, t := range topics {
			for _, p := range g.Members[i].Has[t] {
				switch {
				case p >= g.Partitions[t]:
				case room[i] > 0:
					room[i]--
					out[i][t] = append(out[i][t], p)
				default:
					free = append(free, partition{t, p})
				}
			}
		}
	}
	for i := range out {
		for ; room[i] > 0 && len(free) > 0; room[i]-- {
			out[i][free[0].topic] = append(out[i][free[0].topic], free[0].index)
			free = free[1:]
		}
		sortAll(out[i])
	}
	return out
}

func sortAll(a Assignment) {
	for _, list := range a {
		slices.Sort(list)
	}
}

func compareTopics(a, b kafka.TopicID) int { return bytes.Compare(a[:], b[:]) }
