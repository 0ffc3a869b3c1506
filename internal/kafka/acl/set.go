package acl

import (
	"cmp"
	"slices"
	"strings"
)

// Rules are what decides beside the bindings.
type Rules struct {
	SuperUsers []Principal
	// AllowIfNone lets everybody do what no binding is about (allow.everyone.if.no.acl.found).
	AllowIfNone bool
}

// Request is one question to a Set. Host is the client's address as netip writes it.
type Request struct {
	Principal Principal
	Host      string
	Operation Operation
	Type      ResourceType
	Name      string
}

// Reason tells what a decision rests on.
type Reason uint8

// The reasons. By names the binding for the first two of them.
const (
	ByAllow     Reason = iota + 1 // a binding allows it
	ByDeny                        // a binding denies it
	BySuperUser                   // super users may do everything
	ByNone                        // no binding is about the resource; Rules.AllowIfNone decides
	ByNoMatch                     // bindings are about the resource, and none allows it
)

// Decision is the answer to a Request.
type Decision struct {
	Allowed bool
	Reason  Reason
	By      *Binding // for ByAllow and ByDeny: one binding that decides. Not to be changed.
}

// Set decides by bindings that never change. Its methods may be called from any goroutine and do not block. Deciding
// takes time that grows with the logarithm of the number of prefixes, and with the bindings that one principal has for
// one resource, not with the number of bindings.
type Set struct {
	rules  Rules
	super  map[Principal]bool
	all    []Binding
	byType map[ResourceType]*index
}

// index holds the bindings of one kind of resource.
type index struct {
	literal  map[string]*node // the wildcard included
	prefixes []prefix         // sorted
	nodes    []*node          // all of them
}

// node holds the bindings of one pattern, by principal.
type node struct {
	pattern     PatternType
	name        string
	byPrincipal map[string]*entries
}

// entries are the bindings of one pattern and one principal.
type entries struct{ deny, allow []entry }

type entry struct {
	host    string // canonical, or "*"
	binding *Binding
}

// prefix is a prefixed pattern. parent is the longest other pattern that is a prefix of it, or -1: the patterns that are
// prefixes of a name are a chain from the greatest one that is not greater than the name.
type prefix struct {
	*node
	parent int
}

// NewSet indexes bindings, which are copied. Equal bindings count as one.
func NewSet(bindings []Binding, rules Rules) *Set {
	s := &Set{rules: rules, super: make(map[Principal]bool, len(rules.SuperUsers)), byType: map[ResourceType]*index{}}
	for _, p := range rules.SuperUsers {
		s.super[p] = true
	}
	s.all = slices.Clone(bindings)
	slices.SortFunc(s.all, compareBindings)
	s.all = slices.Compact(s.all)
	var last *node
	for i := range s.all {
		b := &s.all[i]
		x := s.byType[b.Type]
		if x == nil {
			x = &index{literal: map[string]*node{}}
			s.byType[b.Type] = x
		}
		if i == 0 || s.all[i-1].Type != b.Type || s.all[i-1].Pattern != b.Pattern || s.all[i-1].Name != b.Name {
			last = x.add(b.Pattern, b.Name)
		}
		last.add(b)
	}
	return s
}

// compareBindings sorts by resource first, so that the bindings of a pattern stand together and prefixes are in order.
func compareBindings(a, b Binding) int {
	return cmp.Or(
		cmp.Compare(a.Type, b.Type), cmp.Compare(a.Pattern, b.Pattern), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Permission, b.Permission),
	)
}

// add makes the node of a pattern. Prefixes have to come in order.
func (x *index) add(pattern PatternType, name string) *node {
	n := &node{pattern: pattern, name: name, byPrincipal: map[string]*entries{}}
	x.nodes = append(x.nodes, n)
	if pattern != Prefixed {
		x.literal[name] = n
		return n
	}
	parent := len(x.prefixes) - 1
	for parent >= 0 && !strings.HasPrefix(name, x.prefixes[parent].name) {
		parent = x.prefixes[parent].parent
	}
	x.prefixes = append(x.prefixes, prefix{n, parent})
	return n
}

func (n *node) add(b *Binding) {
	e := n.byPrincipal[b.Principal]
	if e == nil {
		e = &entries{}
		n.byPrincipal[b.Principal] = e
	}
	to := &e.allow
	if b.Permission == Deny {
		to = &e.deny
	}
	*to = append(*to, entry{canonicalHost(b.Host), b})
}

// All returns the bindings, sorted. They must not be changed.
func (s *Set) All() []Binding { return s.all }

// Rules returns what the set was made with.
func (s *Set) Rules() Rules { return s.rules }

// Find returns the bindings that a filter selects, sorted.
func (s *Set) Find(f Filter) []Binding {
	var out []Binding
	for i := range s.all {
		if f.Selects(&s.all[i]) {
			out = append(out, s.all[i])
		}
	}
	return out
}

// Decide answers a request.
func (s *Set) Decide(r Request) Decision {
	if s.super[r.Principal] {
		return Decision{Allowed: true, Reason: BySuperUser}
	}
	x := s.byType[r.Type]
	if x == nil {
		return Decision{Allowed: s.rules.AllowIfNone, Reason: ByNone}
	}
	q := query{Request: r, principal: r.Principal.String()}
	if n := x.literal[r.Name]; n != nil {
		q.look(n)
	}
	for at := x.longestPrefix(r.Name); at >= 0 && q.deny == nil; at = x.prefixes[at].parent {
		q.look(x.prefixes[at].node)
	}
	if n := x.literal[Wildcard]; n != nil && r.Name != Wildcard {
		q.look(n)
	}
	switch {
	case q.deny != nil:
		return Decision{Reason: ByDeny, By: q.deny}
	case q.allow != nil:
		return Decision{Allowed: true, Reason: ByAllow, By: q.allow}
	case !q.found:
		return Decision{Allowed: s.rules.AllowIfNone, Reason: ByNone}
	}
	return Decision{Reason: ByNoMatch}
}

// longestPrefix returns the longest pattern that is a prefix of name, or -1. Every such pattern is a prefix of the
// greatest pattern that is not greater than the name, since whatever lies between a prefix and the name starts with it.
func (x *index) longestPrefix(name string) int {
	at, found := slices.BinarySearchFunc(x.prefixes, name, func(p prefix, name string) int { return cmp.Compare(p.name, name) })
	if !found {
		at--
	}
	for at >= 0 && !strings.HasPrefix(name, x.prefixes[at].name) {
		at = x.prefixes[at].parent
	}
	return at
}

// query is a request on its way through the patterns that match its resource.
type query struct {
	Request
	principal   string
	found       bool // a binding is about the resource
	deny, allow *Binding
}

func (q *query) look(n *node) {
	q.found = true
	q.lookFor(n.byPrincipal[q.principal])
	if q.principal != WildcardPrincipal {
		q.lookFor(n.byPrincipal[WildcardPrincipal])
	}
}

func (q *query) lookFor(e *entries) {
	if e == nil || q.deny != nil {
		return
	}
	for _, d := range e.deny {
		if q.fromHost(d) && (d.binding.Operation == q.Operation || d.binding.Operation == All) {
			q.deny = d.binding
			return
		}
	}
	if q.allow != nil {
		return
	}
	for _, a := range e.allow {
		if q.fromHost(a) && allows(a.binding.Operation, q.Operation) {
			q.allow = a.binding
			return
		}
	}
}

func (q *query) fromHost(e entry) bool { return e.host == Wildcard || e.host == q.Host }

// allows tells whether to allow given allows asked.
func allows(given, asked Operation) bool {
	if given == asked || given == All {
		return true
	}
	switch asked {
	case Describe:
		return given == Read || given == Write || given == Delete || given == Alter
	case DescribeConfigs:
		return given == AlterConfigs
	}
	return false
}
