package acl

import "slices"

// anyName is the resource that DecideAny asks for first, so that whoever may do everything, or what no binding is
// about, need not be allowed anything by name. It is the name that Kafka asks for.
const anyName = "hardcode"

// DecideAny tells whether a client may do op to at least one resource of a kind, as InitProducerId asks. By is a binding
// that allows it. Like Kafka it looks at All and op only, not at what implies op, and takes a literal and a prefixed pattern
// apart: a denied literal name hides the same literal name, a denied prefix hides all that begins with it.
func (s *Set) DecideAny(p Principal, host string, op Operation, t ResourceType) Decision {
	if d := s.Decide(Request{Principal: p, Host: host, Operation: op, Type: t, Name: anyName}); d.Allowed {
		return d
	}
	x := s.byType[t]
	if x == nil {
		return Decision{Reason: ByNone}
	}
	q := query{Request: Request{Principal: p, Host: host, Operation: op, Type: t}, principal: p.String()}
	type verdict struct{ allow, deny *Binding }
	verdicts := map[*node]verdict{}
	denied := map[string]bool{} // prefixes
	for _, n := range x.nodes {
		v := verdict{allow: q.exact(n, Allow), deny: q.exact(n, Deny)}
		if v.allow == nil && v.deny == nil {
			continue
		}
		verdicts[n] = v
		if v.deny != nil && n.pattern == Prefixed {
			denied[n.name] = true
		}
	}
	if all := x.literal[Wildcard]; all != nil {
		if v := verdicts[all]; v.deny != nil {
			return Decision{Reason: ByDeny, By: v.deny}
		} else if v.allow != nil {
			return Decision{Allowed: true, Reason: ByAllow, By: v.allow}
		}
	}
	for _, n := range x.nodes {
		v := verdicts[n]
		if v.allow == nil || (n.pattern == Literal && v.deny != nil) || hidden(denied, n.name) {
			continue
		}
		return Decision{Allowed: true, Reason: ByAllow, By: v.allow}
	}
	return Decision{Reason: ByNoMatch}
}

// exact finds a binding of the principal, or of everybody, for just the operation.
func (q *query) exact(n *node, permission Permission) *Binding {
	for _, principal := range []string{q.principal, WildcardPrincipal} {
		e := n.byPrincipal[principal]
		if e == nil {
			continue
		}
		list := e.allow
		if permission == Deny {
			list = e.deny
		}
		at := slices.IndexFunc(list, func(e entry) bool {
			return q.fromHost(e) && (e.binding.Operation == q.Operation || e.binding.Operation == All)
		})
		if at >= 0 {
			return list[at].binding
		}
	}
	return nil
}

func hidden(deniedPrefixes map[string]bool, name string) bool {
	if len(deniedPrefixes) == 0 {
		return false
	}
	for i := range len(name) {
		if deniedPrefixes[name[:i+1]] {
			return true
		}
	}
	return false
}
