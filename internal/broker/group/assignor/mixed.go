package assignor

import (
	"cmp"
	"slices"

	"github.com/weir-stream/weir/internal/kafka"
)

// balanceRounds bounds the rounds of balancing over all topics. Each roughly halves what is uneven, and where all
// readers of a topic read the same the second round finds nothing to do.
const balanceRounds = 16

// mixed divides a group whose members read different topics.
type mixed struct {
	group   Group
	topics  []kafka.TopicID         // in the order in which they are divided
	readers map[kafka.TopicID][]int // members by topic, ascending
	owners  map[kafka.TopicID][]int // the member of each partition, or nobody
	load    []int                   // partitions of each member
}

const nobody = -1

// assignUniformMixed lets members keep what they have and still read, gives what is free to the readers with the least, and
// then moves partitions from the readers with the most to those with the least until no topic can be divided more evenly.
func assignUniformMixed(g Group) []Assignment {
	m := mixed{group: g, readers: map[kafka.TopicID][]int{}, owners: map[kafka.TopicID][]int{}, load: make([]int, len(g.Members))}
	for i := range g.Members {
		for _, t := range g.Members[i].Topics {
			if m.owners[t] == nil {
				m.topics = append(m.topics, t)
				m.owners[t] = slices.Repeat([]int{nobody}, int(g.Partitions[t]))
			}
			m.readers[t] = append(m.readers[t], i)
		}
	}
	slices.SortFunc(m.topics, m.compare)
	m.keep()
	for _, t := range m.topics {
		for p, owner := range m.owners[t] {
			if owner == nobody {
				m.move(t, p, m.least(t))
			}
		}
	}
	m.balance()
	return m.result()
}

// compare puts topics first that have many partitions for each reader, then those with few readers: what is divided last
// can even out what came before.
func (m *mixed) compare(a, b kafka.TopicID) int {
	each := func(t kafka.TopicID) float64 { return float64(m.group.Partitions[t]) / float64(len(m.readers[t])) }
	return cmp.Or(cmp.Compare(each(b), each(a)), cmp.Compare(len(m.readers[a]), len(m.readers[b])), compareTopics(a, b))
}

func (m *mixed) keep() {
	for _, t := range m.topics {
		for _, i := range m.readers[t] {
			for _, p := range m.group.Members[i].Has[t] {
				if int(p) < len(m.owners[t]) && m.owners[t][p] == nobody {
					m.move(t, int(p), i)
				}
			}
		}
	}
}

func (m *mixed) move(t kafka.TopicID, p, to int) {
	if from := m.owners[t][p]; from != nobody {
		m.load[from]--
	}
	m.owners[t][p] = to
	m.load[to]++
}

// least returns the reader of t with the fewest partitions, the first of several.
func (m *mixed) least(t kafka.TopicID) int {
	return slices.MinFunc(m.readers[t], func(a, b int) int { return cmp.Compare(m.load[a], m.load[b]) })
}

func (m *mixed) balance() {
	settled := 0 // topics in a row in which nothing moved
	for range balanceRounds {
		for _, t := range m.topics {
			if m.balanceTopic(t) {
				settled = 0
				continue
			}
			if settled++; settled == len(m.topics) {
				return
			}
		}
	}
}

// balanceTopic moves partitions of t and tells whether it did.
func (m *mixed) balanceTopic(t kafka.TopicID) (moved bool) {
	own := map[int][]int{} // partitions by reader, ascending
	for p, owner := range m.owners[t] {
		own[owner] = append(own[owner], p)
	}
	for {
		most := nobody
		for _, i := range m.readers[t] {
			// Of equally loaded ones the last gives, as the first gets.
			if len(own[i]) > 0 && (most == nobody || m.load[i] >= m.load[most]) {
				most = i
			}
		}
		if most == nobody {
			return moved
		}
		least := m.least(t)
		if m.load[most]-m.load[least] <= 1 {
			return moved
		}
		last := len(own[most]) - 1
		p := own[most][last]
		own[most] = own[most][:last]
		own[least] = append(own[least], p)
		m.move(t, p, least)
		moved = true
	}
}

func (m *mixed) result() []Assignment {
	out := make([]Assignment, len(m.group.Members))
	for i := range out {
		out[i] = Assignment{}
	}
	for _, t := range m.topics {
		for p, owner := range m.owners[t] {
			out[owner][t] = append(out[owner][t], int32(p))
		}
	}
	return out
}
