package acl

import "testing"

// TestARoleAllowsWhatItsNameSaysAndNoMore asks, for each role on the topic orders, what its holder may do.
func TestARoleAllowsWhatItsNameSaysAndNoMore(t *testing.T) {
	t.Parallel()
	alice := Principal{UserType, "alice"}
	on := []Target{{Topic, Prefixed, "orders"}, {Group, Literal, "billing"}}
	for name, x := range map[string]struct{ read, write, create, describe, describeOther, acls bool }{
		"SystemAdmin":     {true, true, true, true, true, true},
		"UserAdmin":       {acls: true},
		"SecurityAdmin":   {describe: true, describeOther: true, acls: true},
		"AuditAdmin":      {},
		"ClusterAdmin":    {create: true, describe: true, describeOther: true, acls: true},
		"Operator":        {describe: true, describeOther: true},
		"ResourceOwner":   {read: true, write: true, create: true, describe: true},
		"DeveloperManage": {create: true, describe: true},
		"DeveloperRead":   {read: true, describe: true},
		"DeveloperWrite":  {write: true, describe: true},
	} {
		role, err := FindRole(Roles(), name)
		if err != nil {
			t.Fatal(err)
		}
		targets := on
		if name == "DeveloperWrite" {
			targets = on[:1]
		}
		if len(role.OnResource) == 0 {
			targets = nil
		}
		bindings, err := role.Bindings("User:alice", Wildcard, targets)
		if err != nil {
			t.Fatal(err)
		}
		set := NewSet(bindings, Rules{})
		may := func(op Operation, kind ResourceType, name string) bool {
			return set.Decide(Request{alice, "10.0.0.1", op, kind, name}).Allowed
		}
		if got := may(Read, Topic, "orders-eu"); got != x.read {
			t.Errorf("%s reads: %v", name, got)
		}
		if got := may(Write, Topic, "orders-eu"); got != x.write {
			t.Errorf("%s writes: %v", name, got)
		}
		if got := may(Create, Topic, "orders-eu"); got != x.create {
			t.Errorf("%s creates: %v", name, got)
		}
		if got := may(Describe, Topic, "orders-eu"); got != x.describe {
			t.Errorf("%s describes: %v", name, got)
		}
		if got := may(Describe, Topic, "secrets"); got != x.describeOther {
			t.Errorf("%s describes another topic: %v", name, got)
		}
		if got := may(Alter, Cluster, ClusterName); got != x.acls {
			t.Errorf("%s changes ACLs: %v", name, got)
		}
		denied := NewSet(append(bindings, Binding{Topic, Literal, "orders-eu", "User:*", Wildcard, All, Deny}), Rules{})
		if denied.Decide(Request{alice, "10.0.0.1", Read, Topic, "orders-eu"}).Allowed {
			t.Errorf("%s overrides an entry that denies", name)
		}
	}
}
