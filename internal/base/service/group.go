package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// DefaultStopTimeout is how long a member may take to stop if it says nothing else.
const DefaultStopTimeout = 5 * time.Second

var (
	// ErrDeadline is in the group's error if a member did not stop in time. It may still be running.
	ErrDeadline = errors.New("did not stop in time")
	// ErrEnded is in the group's error if a member returned nil while it was to go on.
	ErrEnded = errors.New("ended before it was stopped")
)

// Member is a service in a group.
type Member struct {
	Name        string
	Needs       []string // names of members that must be ready before it starts and outlive it
	Service     Service
	StopTimeout time.Duration // from the end of its context to its return; 0: DefaultStopTimeout
}

// Group runs members. See the package comment.
type Group struct {
	members []Member // each after all that it needs
}

// NewGroup checks the members: names are unique, every need has a member, none needs itself, however far
// around. Among members that do not need each other the order stays as given.
func NewGroup(members ...Member) (*Group, error) {
	left := slices.Clone(members)
	names := make(map[string]bool) // true: ordered
	for _, m := range left {
		if _, twice := names[m.Name]; twice {
			return nil, fmt.Errorf("service %s stands in the group twice", m.Name)
		}
		names[m.Name] = false
	}
	g := &Group{}
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(m Member) bool {
			return !slices.ContainsFunc(m.Needs, func(need string) bool { return !names[need] })
		})
		if i < 0 {
			return nil, unorderable(left, names)
		}
		names[left[i].Name] = true
		g.members = append(g.members, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return g, nil
}

// unorderable tells why none of left can be next.
func unorderable(left []Member, names map[string]bool) error {
	for _, m := range left {
		for _, need := range m.Needs {
			if _, known := names[need]; !known {
				return fmt.Errorf("service %s needs %s, which is not in the group", m.Name, need)
			}
		}
	}
	return fmt.Errorf("service %s needs itself by way of others", left[0].Name)
}

// Run implements Service. The error joins those of all members, each with the member's name; a member's
// error that only says that its context ended is no error.
func (g *Group) Run(ctx context.Context, ready func()) error {
	r := &run{events: make(chan event, 3*len(g.members)), members: make([]*running, len(g.members))}
	for i, m := range g.members {
		r.members[i] = &running{Member: m}
	}
	defer func() {
		for _, m := range r.members {
			if m.cancel != nil {
				m.cancel()
			}
		}
	}()
	done := ctx.Done()
	told := false
	for {
		if r.stopping {
			r.stopNext()
		} else {
			r.startNext(ctx)
		}
		if !told && !r.stopping && r.allReady() {
			told = true
			ready()
		}
		if r.stopping && r.allEnded() {
			return errors.Join(r.errs...)
		}
		select {
		case <-done:
			done, r.stopping = nil, true
		case ev := <-r.events:
			r.handle(ev)
		}
	}
}

// event is what a member, or its deadline, has to tell. There are at most three for each member, for which
// the channel has room, so nobody waits for a group that has returned.
type event struct {
	member *running
	kind   eventKind
	err    error
}

type eventKind uint8

const (
	becameReady eventKind = iota + 1
	ended
	overran
)

// run is one run of a group; owned by the goroutine in Group.Run.
type run struct {
	members  []*running
	events   chan event
	stopping bool
	errs     []error
}

type running struct {
	Member
	started, ready, stopped, ended bool

	cancel   context.CancelFunc
	deadline *time.Timer
}

// startNext starts every member whose needs are ready.
func (r *run) startNext(ctx context.Context) {
	if ctx.Err() != nil {
		r.stopping = true
		return
	}
	for _, m := range r.members {
		if m.started || slices.ContainsFunc(r.members, func(n *running) bool { return !n.ready && m.needs(n) }) {
			continue
		}
		m.started = true
		// A member is stopped by the group in its turn, not by the end of the group's context.
		memberCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		m.cancel = cancel
		var once sync.Once
		tell := func() { once.Do(func() { r.events <- event{member: m, kind: becameReady} }) }
		go func() { // its end is an event; a member that overran its deadline is not waited for
			r.events <- event{member: m, kind: ended, err: m.Service.Run(memberCtx, tell)}
		}()
	}
}

func (m *running) needs(n *running) bool { return slices.Contains(m.Needs, n.Name) }

// stopNext ends the context of every member that nobody running needs.
func (r *run) stopNext() {
	for _, m := range slices.Backward(r.members) {
		if !m.started {
			m.ended = true
			continue
		}
		if m.stopped || m.ended || slices.ContainsFunc(r.members, func(n *running) bool { return n.live() && n.needs(m) }) {
			continue
		}
		m.stopped = true
		m.cancel()
		m.deadline = time.AfterFunc(cmp.Or(m.StopTimeout, DefaultStopTimeout), func() {
			r.events <- event{member: m, kind: overran}
		})
	}
}

func (m *running) live() bool { return m.started && !m.ended }

func (r *run) handle(ev event) {
	m := ev.member
	switch ev.kind {
	case becameReady:
		m.ready = !m.ended
	case overran:
		if !m.ended {
			m.ended = true
			r.errs = append(r.errs, fmt.Errorf("%s: %w", m.Name, ErrDeadline))
		}
	case ended:
		if m.ended {
			return // told as overran
		}
		m.ended, m.ready = true, false
		if m.deadline != nil {
			m.deadline.Stop()
		}
		switch {
		case m.stopped && (ev.err == nil || errors.Is(ev.err, context.Canceled)):
		case ev.err == nil:
			r.errs = append(r.errs, fmt.Errorf("%s: %w", m.Name, ErrEnded))
		default:
			r.errs = append(r.errs, fmt.Errorf("%s: %w", m.Name, ev.err))
		}
		r.stopping = true
	}
}

func (r *run) allReady() bool {
	return !slices.ContainsFunc(r.members, func(m *running) bool { return !m.ready })
}

func (r *run) allEnded() bool {
	return !slices.ContainsFunc(r.members, func(m *running) bool { return !m.ended })
}
