package streamsgroup

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

// Task is a partition of a subtopology.
type Task struct {
	Subtopology string
	Partition   int32
}

func compareTasks(a, b Task) int {
	return cmp.Or(cmp.Compare(a.Subtopology, b.Subtopology), cmp.Compare(a.Partition, b.Partition))
}

// TaskSet is a set of tasks, each with the member epoch in which its owner got it, or 0 where that does not matter.
type TaskSet map[Task]int32

func (s TaskSet) has(t Task) bool {
	_, ok := s[t]
	return ok
}

// Sorted returns the tasks in order.
func (s TaskSet) Sorted() []Task { return slices.SortedFunc(maps.Keys(s), compareTasks) }

// Role is what a member does with a task.
type Role int

// The roles: an active task processes, a standby keeps a copy of the state, and a warm-up is a standby on its way to
// becoming active.
const (
	Active Role = iota
	Standby
	Warmup
	roles
)

// Tasks are tasks by role.
type Tasks [roles]TaskSet

func (t *Tasks) add(r Role, task Task, epoch int32) {
	if t[r] == nil {
		t[r] = TaskSet{}
	}
	t[r][task] = epoch
}

func (t *Tasks) empty() bool { return len(t[Active])+len(t[Standby])+len(t[Warmup]) == 0 }

// same says whether both hold the same tasks in the same roles.
func (t *Tasks) same(o *Tasks) bool {
	for r := range roles {
		if len(t[r]) != len(o[r]) {
			return false
		}
		for task := range t[r] {
			if !o[r].has(task) {
				return false
			}
		}
	}
	return true
}

// within says whether o holds all tasks of t.
func (t *Tasks) within(o *Tasks) bool {
	for r := range roles {
		for task := range t[r] {
			if !o[r].has(task) {
				return false
			}
		}
	}
	return true
}

// IDs returns the tasks of a role by subtopology.
func (t *Tasks) IDs(r Role) []streamsrecord.TaskIDs { return t.ids(r, false) }

func (t *Tasks) ids(r Role, epochs bool) []streamsrecord.TaskIDs {
	var out []streamsrecord.TaskIDs
	for _, task := range t[r].Sorted() {
		if n := len(out); n == 0 || out[n-1].Subtopology != task.Subtopology {
			out = append(out, streamsrecord.TaskIDs{Subtopology: task.Subtopology})
		}
		last := &out[len(out)-1]
		last.Partitions = append(last.Partitions, task.Partition)
		if epochs {
			last.Epochs = append(last.Epochs, t[r][task])
		}
	}
	return out
}

func (t *Tasks) record(epochs bool) streamsrecord.Tasks {
	return streamsrecord.Tasks{Active: t.ids(Active, epochs), Standby: t.ids(Standby, epochs), Warmup: t.ids(Warmup, epochs)}
}

// Add puts tasks of one subtopology into a role.
func (t *Tasks) Add(r Role, subtopology string, partitions []int32) {
	for _, p := range partitions {
		t.add(r, Task{subtopology, p}, 0)
	}
}

// tasksOf is the inverse of record.
func tasksOf(s *streamsrecord.Tasks) Tasks {
	var t Tasks
	for r, list := range [roles][]streamsrecord.TaskIDs{s.Active, s.Standby, s.Warmup} {
		for i := range list {
			ids := &list[i]
			for j, p := range ids.Partitions {
				var epoch int32
				if j < len(ids.Epochs) {
					epoch = ids.Epochs[j]
				}
				t.add(Role(r), Task{ids.Subtopology, p}, epoch)
			}
		}
	}
	return t
}
