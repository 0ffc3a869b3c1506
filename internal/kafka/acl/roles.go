package acl

import (
	"fmt"
	"slices"
)

// Role is a named bundle of what a principal may do. The Kafka protocol knows no roles: to grant one is to create its
// bindings, which decide like all others, so a role never overrides a binding that denies.
type Role struct {
	Name string
	Doc  string
	// Everywhere is granted on all resources of a kind, or on the named ones; OnResource on those that the grant names.
	Everywhere []Grant
	OnResource []Grant
}

// Grant is operations on a kind of resource. Name is empty in OnResource, and a literal name, or "*", in Everywhere.
type Grant struct {
	Type       ResourceType
	Name       string
	Operations []Operation
}

// Target is a resource pattern that a role is granted on.
type Target struct {
	Type    ResourceType
	Pattern PatternType
	Name    string
}

// Roles are the predefined ones. Their names are those of Confluent's role-based access control, as far as they make
// sense for a broker. An operation that another one of the bundle implies is left out.
func Roles() []Role {
	all := []Operation{All}
	cluster := func(ops ...Operation) Grant { return Grant{Cluster, ClusterName, ops} }
	every := func(t ResourceType, ops ...Operation) Grant { return Grant{t, Wildcard, ops} }
	on := func(t ResourceType, ops ...Operation) Grant { return Grant{t, "", ops} }
	return []Role{
		{
			Name: "SystemAdmin", Doc: "Everything, data included.",
			Everywhere: []Grant{cluster(all...), every(Topic, all...), every(Group, all...), every(TransactionalID, all...), every(DelegationToken, all...), every(User, all...)},
		},
		{
			Name: "UserAdmin", Doc: "Credentials and delegation tokens of users. Kafka has one operation for credentials and ACLs, so this role may change ACLs too.",
			Everywhere: []Grant{cluster(Alter), every(User, CreateTokens, DescribeTokens), every(DelegationToken, Describe)},
		},
		{
			Name: "SecurityAdmin", Doc: "ACLs, and a look at everything that they are about.",
			Everywhere: []Grant{cluster(Alter), every(Topic, Describe), every(Group, Describe), every(TransactionalID, Describe)},
		},
		{
			Name: "AuditAdmin", Doc: "Reading the audit log, and its retention.",
			Everywhere: []Grant{{Topic, "_weir_audit", []Operation{Read, AlterConfigs}}},
		},
		{
			Name: "ClusterAdmin", Doc: "Topics, groups and settings of the cluster, without the data.",
			Everywhere: []Grant{
				cluster(Create, Alter, AlterConfigs), every(Topic, Create, Delete, Alter, AlterConfigs), every(Group, Delete, AlterConfigs),
				every(TransactionalID, Describe),
			},
		},
		{
			Name: "Operator", Doc: "A look at everything but the data.",
			Everywhere: []Grant{cluster(Describe, DescribeConfigs), every(Topic, Describe, DescribeConfigs), every(Group, Describe, DescribeConfigs), every(TransactionalID, Describe)},
		},
		{
			Name: "ResourceOwner", Doc: "Everything with the named resources.",
			OnResource: []Grant{on(Topic, all...), on(Group, all...), on(TransactionalID, all...), on(Subject, all...)},
		},
		{
			Name: "DeveloperManage", Doc: "Creating, changing and deleting the named resources, without the data.",
			OnResource: []Grant{on(Topic, Create, Delete, Alter, AlterConfigs), on(Group, Delete, AlterConfigs), on(TransactionalID, Describe), on(Subject, Delete, Describe, AlterConfigs)},
		},
		{
			Name: "DeveloperRead", Doc: "Reading the named topics, in the named groups.",
			OnResource: []Grant{on(Topic, Read), on(Group, Read), on(TransactionalID, Describe), on(Subject, Read)},
		},
		{
			Name: "DeveloperWrite", Doc: "Writing to the named topics, with the named transactional ids.",
			OnResource: []Grant{on(Topic, Write), on(TransactionalID, Write), on(Subject, Write, Read)},
		},
	}
}

// FindRole returns a role by its name, or an error that lists the names.
func FindRole(roles []Role, name string) (Role, error) {
	var names []string
	for _, r := range roles {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Role{}, fmt.Errorf("there is no role %q, only %q", name, names)
}

// Bindings are what it takes to have the role. A role about resources needs at least one target, of kinds that it knows;
// one about everything takes none.
func (r Role) Bindings(principal, host string, targets []Target) ([]Binding, error) {
	switch {
	case len(r.OnResource) > 0 && len(targets) == 0:
		return nil, fmt.Errorf("role %s is about resources: name a topic, group, transactional id or subject", r.Name)
	case len(r.OnResource) == 0 && len(targets) > 0:
		return nil, fmt.Errorf("role %s is about the whole cluster and takes no resource", r.Name)
	}
	var out []Binding
	add := func(t Target, ops []Operation) {
		for _, op := range ops {
			out = append(out, Binding{Type: t.Type, Pattern: t.Pattern, Name: t.Name, Principal: principal, Host: host, Operation: op, Permission: Allow})
		}
	}
	for _, g := range r.Everywhere {
		add(Target{g.Type, Literal, g.Name}, g.Operations)
	}
	for _, t := range targets {
		at := slices.IndexFunc(r.OnResource, func(g Grant) bool { return g.Type == t.Type })
		if at < 0 {
			return nil, fmt.Errorf("role %s has nothing to do with a %s", r.Name, t.Type)
		}
		add(t, r.OnResource[at].Operations)
	}
	return out, nil
}
