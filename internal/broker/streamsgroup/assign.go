package streamsgroup

import (
	"cmp"
	"maps"
	"slices"
)

// maxWarmups is how many tasks may warm up elsewhere at a time, as Kafka Streams has it.
const maxWarmups = 2

// assigning is one computation of a target assignment. It keeps tasks where they are or were standing by as long as the
// load stays even, spreads the rest over the least loaded processes, and puts copies on other processes than the
// original. Equal input gives equal output.
type assigning struct {
	members  []string // sorted
	process  map[string]string
	previous map[string]*Tasks
	target   map[string]*Tasks
	// load is the number of tasks of each process, size that of its members.
	load, size map[string]int
	active     map[Task]string // member
	stateful   func(Task) bool
	// caughtUp says whether a process has the state of a task, and reports whether it ever tells.
	caughtUp func(process string, t Task) bool
	reports  func(process string) bool
}

// assign computes who does what. tasks are sorted.
func assign(tasks []Task, standbys int, members map[string]string, previous map[string]*Tasks, stateful func(Task) bool, caughtUp func(string, Task) bool, reports func(string) bool) map[string]*Tasks {
	a := &assigning{
		members: slices.Sorted(maps.Keys(members)), process: members, previous: previous, target: map[string]*Tasks{},
		load: map[string]int{}, size: map[string]int{}, active: map[Task]string{}, stateful: stateful, caughtUp: caughtUp, reports: reports,
	}
	for _, m := range a.members {
		a.target[m] = &Tasks{}
		a.size[a.process[m]]++
	}
	if len(a.members) == 0 {
		return a.target
	}
	a.assignActive(tasks)
	a.warmUp(tasks)
	a.assignStandbys(tasks, standbys)
	return a.target
}

func (a *assigning) give(m string, r Role, t Task) {
	a.target[m].add(r, t, 0)
	a.load[a.process[m]]++
	if r == Active {
		a.active[t] = m
	}
}

// assignActive keeps active tasks with their members up to an even share, gives others to those who stood by for them, and
// the rest to the least loaded.
func (a *assigning) assignActive(tasks []Task) {
	least := len(tasks) / len(a.members)
	extra := len(tasks) % len(a.members) // so many members may have one more
	room := func(m string) bool {
		n := len(a.target[m][Active])
		return n < least || n == least && extra > 0
	}
	take := func(m string, t Task) {
		if len(a.target[m][Active]) == least {
			extra--
		}
		a.give(m, Active, t)
	}
	var rest []Task
	owners := a.previousOwners(Active)
	for _, t := range tasks {
		if m, ok := owners[t]; ok && room(m[0]) {
			take(m[0], t)
			continue
		}
		rest = append(rest, t)
	}
	standbys, warmups := a.previousOwners(Standby), a.previousOwners(Warmup)
	tasks, rest = rest, nil
	for _, t := range tasks {
		heirs := append(slices.Clone(warmups[t]), standbys[t]...)
		if i := slices.IndexFunc(heirs, room); i >= 0 {
			take(heirs[i], t)
			continue
		}
		rest = append(rest, t)
	}
	for _, t := range rest {
		take(a.leastLoaded(room), t)
	}
}

// previousOwners returns the members that had each task in a role, sorted, those that are gone left out.
func (a *assigning) previousOwners(r Role) map[Task][]string {
	out := map[Task][]string{}
	for _, m := range a.members {
		if p := a.previous[m]; p != nil {
			for t := range p[r] {
				out[t] = append(out[t], m)
			}
		}
	}
	return out
}

// leastLoaded returns, among the members that fit, one with the fewest active tasks on a process with the least load for
// each of its members; "" if none fits.
func (a *assigning) leastLoaded(fits func(string) bool) string {
	best := ""
	for _, m := range a.members {
		if fits(m) && (best == "" || a.compareLoad(m, best) < 0) {
			best = m
		}
	}
	return best
}

func (a *assigning) compareLoad(m, o string) int {
	p, q := a.process[m], a.process[o]
	total := func(m string) int { return len(a.target[m][Active]) + len(a.target[m][Standby]) }
	// load/size compared without a division.
	return cmp.Or(cmp.Compare(a.load[p]*a.size[q], a.load[q]*a.size[p]), cmp.Compare(total(m), total(o)), cmp.Compare(m, o))
}

// warmUp leaves tasks with state where the state is, as long as the new owner has not caught up, and lets the new owner
// warm up. Only processes that report offsets can ever be seen to catch up; with others a task moves at once.
func (a *assigning) warmUp(tasks []Task) {
	owners := a.previousOwners(Active)
	warming := 0
	for _, t := range tasks {
		m := a.active[t]
		before, ok := owners[t]
		if !ok || !a.stateful(t) || before[0] == m || warming == maxWarmups {
			continue
		}
		from, to := a.process[before[0]], a.process[m]
		if from == to || !a.reports(to) || a.caughtUp(to, t) {
			continue
		}
		warming++
		delete(a.target[m][Active], t)
		a.load[to]--
		a.give(before[0], Active, t)
		a.give(m, Warmup, t)
	}
}

// assignStandbys gives each task with state its copies: on processes of their own, first where a copy or the original was.
func (a *assigning) assignStandbys(tasks []Task, copies int) {
	if copies == 0 {
		return
	}
	standbys, actives := a.previousOwners(Standby), a.previousOwners(Active)
	for _, t := range tasks {
		if !a.stateful(t) {
			continue
		}
		taken := map[string]bool{a.process[a.active[t]]: true}
		for _, m := range a.members {
			if a.target[m][Warmup].has(t) {
				taken[a.process[m]] = true
			}
		}
		candidates := append(slices.Clone(standbys[t]), actives[t]...)
		for range copies {
			free := func(m string) bool { return !taken[a.process[m]] }
			m := ""
			if i := slices.IndexFunc(candidates, func(m string) bool { return free(m) && a.canTakeMore(m) }); i >= 0 {
				m = candidates[i]
			} else if m = a.leastLoaded(free); m == "" {
				break // fewer processes than copies
			}
			a.give(m, Standby, t)
			taken[a.process[m]] = true
		}
	}
}

// canTakeMore keeps the load of a process within one task for each member of the least loaded one.
func (a *assigning) canTakeMore(m string) bool {
	p := a.process[m]
	for q, n := range a.load {
		if a.load[p]*a.size[q] > (n+a.size[q])*a.size[p] {
			return false
		}
	}
	return true
}
