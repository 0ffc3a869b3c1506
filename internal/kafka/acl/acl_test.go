package acl

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// binding reads "allow alice Read topic orders" or "deny * All topic orders- prefixed 10.0.0.1".
func binding(t testing.TB, line string) Binding {
	t.Helper()
	f := strings.Fields(line)
	b := Binding{Pattern: Literal, Host: Wildcard, Permission: Allow, Principal: "User:" + f[1], Name: f[4]}
	if f[0] == "deny" {
		b.Permission = Deny
	}
	var err error
	if b.Operation, err = ParseOperation(f[2]); err != nil {
		t.Fatal(err)
	}
	if b.Type, err = ParseResourceType(f[3]); err != nil {
		t.Fatal(err)
	}
	for _, extra := range f[5:] {
		if extra == "prefixed" {
			b.Pattern = Prefixed
		} else {
			b.Host = extra
		}
	}
	return b
}

func bindings(t testing.TB, lines string) []Binding {
	t.Helper()
	var out []Binding
	for line := range strings.SplitSeq(lines, ";") {
		if strings.TrimSpace(line) != "" {
			out = append(out, binding(t, line))
		}
	}
	return out
}

func TestDecisionsAreThoseOfKafkasStandardAuthorizer(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		acls, who, op, resource string
		want                    Reason
	}{
		{"", "alice", "Read", "topic orders", ByNone},
		{"allow alice Read topic orders", "alice", "Read", "topic orders", ByAllow},
		{"allow alice Read topic orders", "bob", "Read", "topic orders", ByNoMatch},
		{"allow alice Read topic orders", "alice", "Read", "group orders", ByNone},
		{"allow alice Read topic orders", "alice", "Read", "topic orders2", ByNone},
		{"allow alice Read topic orders", "alice", "Write", "topic orders", ByNoMatch},
		{"allow alice All topic orders", "alice", "Write", "topic orders", ByAllow},
		{"allow * Read topic orders", "alice", "Read", "topic orders", ByAllow},
		{"allow alice Read topic *", "alice", "Read", "topic orders", ByAllow},
		{"allow alice Read topic * prefixed", "alice", "Read", "topic orders", ByNone},
		{"allow alice Read topic ord prefixed", "alice", "Read", "topic orders", ByAllow},
		{"allow alice Read topic ord prefixed", "alice", "Read", "topic ord", ByAllow},
		{"allow alice Read topic ord prefixed", "alice", "Read", "topic or", ByNone},
		{"allow bob Read topic orders prefixed; allow alice Read topic o prefixed", "alice", "Read", "topic orders", ByAllow},
		{"allow bob Read topic ordes prefixed; allow alice Read topic o prefixed", "alice", "Read", "topic orders", ByAllow},
		{"allow alice Read topic orders 10.0.0.1", "alice", "Read", "topic orders", ByAllow},
		{"allow alice Read topic orders 10.0.0.2", "alice", "Read", "topic orders", ByNoMatch},
		{"allow alice Read topic orders ::ffff:10.0.0.1", "alice", "Read", "topic orders", ByAllow},
		// Deny wins, however it names the resource and whoever it names.
		{"allow alice Read topic orders; deny alice Read topic orders", "alice", "Read", "topic orders", ByDeny},
		{"allow alice Read topic orders; deny * Read topic *", "alice", "Read", "topic orders", ByDeny},
		{"allow alice All topic orders; deny alice Read topic o prefixed", "alice", "Read", "topic orders", ByDeny},
		{"allow alice Read topic orders; deny alice All topic orders", "alice", "Read", "topic orders", ByDeny},
		{"allow alice Read topic orders; deny alice Read topic orders 10.0.0.2", "alice", "Read", "topic orders", ByAllow},
		// What an allowed operation implies, and that a denied one implies nothing.
		{"allow alice Read topic orders", "alice", "Describe", "topic orders", ByAllow},
		{"allow alice Write topic orders", "alice", "Describe", "topic orders", ByAllow},
		{"allow alice Delete topic orders", "alice", "Describe", "topic orders", ByAllow},
		{"allow alice Alter topic orders", "alice", "Describe", "topic orders", ByAllow},
		{"allow alice Create topic orders", "alice", "Describe", "topic orders", ByNoMatch},
		{"allow alice AlterConfigs topic orders", "alice", "DescribeConfigs", "topic orders", ByAllow},
		{"allow alice AlterConfigs topic orders", "alice", "Describe", "topic orders", ByNoMatch},
		{"allow alice Alter topic orders", "alice", "DescribeConfigs", "topic orders", ByNoMatch},
		{"allow alice Describe topic orders; deny alice Read topic orders", "alice", "Describe", "topic orders", ByAllow},
		{"allow alice DescribeConfigs topic orders; deny alice AlterConfigs topic orders", "alice", "DescribeConfigs", "topic orders", ByAllow},
		// Super users.
		{"deny * All topic *", "root", "Read", "topic orders", BySuperUser},
	} {
		s := NewSet(bindings(t, x.acls), Rules{SuperUsers: []Principal{{UserType, "root"}}})
		op, err := ParseOperation(x.op)
		if err != nil {
			t.Fatal(err)
		}
		kind, name, _ := strings.Cut(x.resource, " ")
		typ, err := ParseResourceType(kind)
		if err != nil {
			t.Fatal(err)
		}
		got := s.Decide(Request{Principal{UserType, x.who}, "10.0.0.1", op, typ, name})
		if got.Reason != x.want || got.Allowed != (x.want == ByAllow || x.want == BySuperUser) {
			t.Errorf("%q: %s %s %s: got %+v, want reason %d", x.acls, x.who, x.op, x.resource, got, x.want)
		}
	}
}

func TestAllowIfNoneLetsInOnlyWhereNoBindingIsAboutTheResource(t *testing.T) {
	t.Parallel()
	s := NewSet(bindings(t, "allow bob Read topic orders; deny bob Read topic pre prefixed"), Rules{AllowIfNone: true})
	for name, want := range map[string]bool{"orders": false, "prefix": false, "other": true} {
		if got := s.Decide(Request{Anonymous, "10.0.0.1", Read, Topic, name}); got.Allowed != want {
			t.Errorf("%s: got %+v, want %v", name, got, want)
		}
	}
}

func TestDecideAnyAsksForOneResourceThatIsAllowedAndNotHidden(t *testing.T) {
	t.Parallel()
	for acls, want := range map[string]bool{
		"":                                   false,
		"allow alice Write topic a":          true,
		"allow alice Write topic a 10.0.0.2": false,
		"allow * Write topic a":              true,
		"allow alice All topic a":            true,
		"allow alice Read topic a":           false,
		"allow alice Write topic a; deny alice Write topic a":                                       false,
		"allow alice Write topic a; deny alice Write topic a prefixed":                              false,
		"allow alice Write topic ab; deny alice Write topic a prefixed":                             false,
		"allow alice Write topic a prefixed; deny alice Write topic a":                              true,
		"allow alice Write topic a prefixed; deny alice Write topic ab prefixed":                    true,
		"allow alice Write topic a; allow alice Write topic b; deny alice Write topic a":            true,
		"allow alice Write topic *; deny alice Write topic a":                                       true,
		"allow alice Write topic a; deny alice Write topic *":                                       false,
		"allow alice Write topic *; deny * All topic *":                                             false,
		"allow alice Write topic *; deny * Describe topic *":                                        true,
		"allow alice Write topic * prefixed":                                                        true,
		"allow alice Write group a":                                                                 false,
		"allow alice Write topic hardcode":                                                          true,
		"deny alice Write topic hard prefixed; allow alice Write topic hardcode":                    false,
		"deny bob Write topic a; allow alice Write topic a; deny alice Write topic a 10.0.0.2":      true,
		"deny alice Describe topic a; allow alice Write topic a; deny alice Write topic b prefixed": true,
	} {
		s := NewSet(bindings(t, acls), Rules{})
		if got := s.DecideAny(Principal{UserType, "alice"}, "10.0.0.1", Write, Topic); got.Allowed != want {
			t.Errorf("%q: got %+v, want %v", acls, got, want)
		}
	}
	everyone := NewSet(bindings(t, "allow bob Write topic a"), Rules{AllowIfNone: true, SuperUsers: []Principal{{UserType, "root"}}})
	if !everyone.DecideAny(Principal{UserType, "alice"}, "10.0.0.1", Write, Topic).Allowed {
		t.Error("whoever may do what no binding is about may write to some topic")
	}
}

func TestFiltersSelectByEveryField(t *testing.T) {
	t.Parallel()
	all := bindings(t, "allow alice Read topic orders; allow alice Read topic ord prefixed; deny bob Write topic *; allow alice Read group orders; allow * Read topic other 10.0.0.1")
	s := NewSet(all, Rules{})
	name := func(s string) *string { return &s }
	for _, x := range []struct {
		what string
		f    func(*Filter)
		want int
	}{
		{"all", func(*Filter) {}, 5},
		{"topics", func(f *Filter) { f.Type = Topic }, 4},
		{"any pattern of the name", func(f *Filter) { f.Name = name("orders") }, 2},
		{"literal", func(f *Filter) { f.Type, f.Pattern, f.Name = Topic, Literal, name("orders") }, 1},
		{"prefixed", func(f *Filter) { f.Pattern = Prefixed }, 1},
		{"prefixed, another name", func(f *Filter) { f.Pattern, f.Name = Prefixed, name("orders") }, 0},
		{"match", func(f *Filter) { f.Type, f.Pattern, f.Name = Topic, Match, name("orders") }, 3},
		{"match without a name", func(f *Filter) { f.Type, f.Pattern = Topic, Match }, 4},
		{"match the wildcard", func(f *Filter) { f.Type, f.Pattern, f.Name = Topic, Match, name("*") }, 1},
		{"principal", func(f *Filter) { f.Principal = name("User:alice") }, 3},
		{"host", func(f *Filter) { f.Host = name("10.0.0.1") }, 1},
		{"operation", func(f *Filter) { f.Operation = Write }, 1},
		{"permission", func(f *Filter) { f.Permission = Deny }, 1},
	} {
		f := AnyFilter()
		x.f(&f)
		if got := s.Find(f); len(got) != x.want {
			t.Errorf("%s: got %v, want %d", x.what, got, x.want)
		}
	}
}

// plainDecide is the rules in the plainest form, over all bindings.
func plainDecide(all []Binding, rules Rules, r Request) (allowed bool) {
	if slices.Contains(rules.SuperUsers, r.Principal) {
		return true
	}
	found := false
	for _, b := range all {
		about := b.Type == r.Type && (b.Pattern == Literal && (b.Name == r.Name || b.Name == "*") || b.Pattern == Prefixed && strings.HasPrefix(r.Name, b.Name))
		found = found || about
		if !about || (b.Principal != "User:*" && b.Principal != r.Principal.String()) || (b.Host != "*" && b.Host != r.Host) {
			continue
		}
		if b.Permission == Deny && (b.Operation == All || b.Operation == r.Operation) {
			return false
		}
		allowed = allowed || b.Permission == Allow && allows(b.Operation, r.Operation)
	}
	return allowed || (!found && rules.AllowIfNone)
}

func TestTheIndexDecidesAsAPlainSearchDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[ab*]{1,4}`)
		principal := rapid.SampledFrom([]string{"User:x", "User:y", "User:*"})
		host := rapid.SampledFrom([]string{"*", "10.0.0.1", "10.0.0.2"})
		op := rapid.SampledFrom([]Operation{All, Read, Write, Describe, AlterConfigs, DescribeConfigs})
		typ := rapid.SampledFrom([]ResourceType{Topic, Group})
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Binding {
			return Binding{
				Type: typ.Draw(t, "type"), Pattern: rapid.SampledFrom([]PatternType{Literal, Prefixed}).Draw(t, "pattern"), Name: name.Draw(t, "name"),
				Principal: principal.Draw(t, "principal"), Host: host.Draw(t, "host"), Operation: op.Draw(t, "op"),
				Permission: rapid.SampledFrom([]Permission{Allow, Allow, Deny}).Draw(t, "permission"),
			}
		}), 0, 20).Draw(t, "bindings")
		rules := Rules{AllowIfNone: rapid.Bool().Draw(t, "allow if none"), SuperUsers: []Principal{{UserType, "root"}}}
		s := NewSet(all, rules)
		for range 10 {
			r := Request{
				Principal: Principal{UserType, rapid.SampledFrom([]string{"x", "y", "z", "root"}).Draw(t, "who")}, Host: rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.3"}).Draw(t, "from"),
				Operation: op.Filter(func(o Operation) bool { return o != All }).Draw(t, "does"), Type: typ.Draw(t, "to"), Name: name.Draw(t, "on"),
			}
			if got, want := s.Decide(r), plainDecide(all, rules, r); got.Allowed != want {
				t.Fatalf("%+v: got %+v, want %v", r, got, want)
			}
		}
	})
}

func TestNamesAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"DESCRIBE_CONFIGS", "DescribeConfigs", "describe-configs"} {
		if op, err := ParseOperation(s); err != nil || op != DescribeConfigs {
			t.Errorf("%s: got %v, %v", s, op, err)
		}
	}
	if _, err := ParseOperation("fly"); err == nil {
		t.Error("fly is no operation")
	}
	if p, err := ParsePrincipal("User:CN=a:b"); err != nil || p != (Principal{"User", "CN=a:b"}) {
		t.Errorf("got %v, %v", p, err)
	}
}

// BenchmarkDecide asks a set of 10,000 bindings: 5,000 prefixes and 5,000 literal names of 100 principals, and in the
// worst place 10,000 principals for one name.
func BenchmarkDecide(b *testing.B) {
	var many []Binding
	for i := range 10_000 {
		x := Binding{Type: Topic, Pattern: Literal, Name: fmt.Sprintf("team-%03d.orders-%d", i%100, i), Principal: fmt.Sprintf("User:u%d", i%100), Host: Wildcard, Operation: Read, Permission: Allow}
		if i%2 == 0 {
			x.Pattern, x.Name = Prefixed, fmt.Sprintf("team-%03d.%d-", i%100, i)
		}
		many = append(many, x)
	}
	var one []Binding
	for i := range 10_000 {
		one = append(one, Binding{Type: Topic, Pattern: Literal, Name: Wildcard, Principal: fmt.Sprintf("User:u%d", i), Host: Wildcard, Operation: Read, Permission: Allow})
	}
	for _, x := range []struct {
		name string
		set  *Set
		r    Request
	}{
		{"acls=10000/by=prefix", NewSet(many, Rules{}), Request{Principal{UserType, "u42"}, "10.0.0.1", Read, Topic, "team-042.4242-of-many"}},
		{"acls=10000/by=literal", NewSet(many, Rules{}), Request{Principal{UserType, "u43"}, "10.0.0.1", Read, Topic, "team-043.orders-4243"}},
		{"acls=10000/by=none", NewSet(many, Rules{}), Request{Principal{UserType, "nobody"}, "10.0.0.1", Read, Topic, "team-043.orders-4243"}},
		{"acls=10000/by=wildcard", NewSet(one, Rules{}), Request{Principal{UserType, "u42"}, "10.0.0.1", Read, Topic, "orders"}},
	} {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.set.Decide(x.r)
			}
		})
	}
}
