// Package acl holds the nouns of Kafka's access control lists and the rules by which they decide: who may do what to
// which resource, from where.
//
// It is pure: a [Set] is made of bindings, never changes, and answers alike for ever. The broker asks it for every request
// and the command line asks it for the same answer from the bindings that DescribeAcls lists, so "weir can" cannot
// disagree with the broker. Where bindings are kept and who may change them is not its business.
//
// The rules are those of Kafka's StandardAuthorizer:
//
//   - A super user may do everything, whatever the bindings say.
//   - A binding is about a request if its resource (by literal name, by prefix, or by the literal name "*"), its principal
//     (itself or User:*) and its host (itself or *) match, and its operation is the one asked for, or All.
//   - To allow Read, Write, Delete or Alter allows Describe too, and AlterConfigs allows DescribeConfigs. To deny them denies
//     nothing else.
//   - One matching binding that denies decides; else one that allows; else nobody may, unless no binding names the resource at
//     all and the broker lets everybody do what no binding is about.
package acl

import (
	"fmt"
	"net/netip"
	"strings"
)

// Principal names a client as bindings do: "User:alice". Type is "User" but for principals of other kinds that an
// operator may have named.
type Principal struct{ Type, Name string }

// Anonymous is the principal of a client of a listener without authentication.
var Anonymous = Principal{Type: UserType, Name: "ANONYMOUS"}

// UserType is the type of all principals that Weir gives to clients, and WildcardPrincipal stands for all of them.
const (
	UserType          = "User"
	WildcardPrincipal = "User:*"
)

func (p Principal) String() string { return p.Type + ":" + p.Name }

// ParsePrincipal takes "User:alice" apart. The name may hold further colons, as distinguished names do.
func ParsePrincipal(s string) (Principal, error) {
	kind, name, ok := strings.Cut(s, ":")
	if !ok || kind == "" || name == "" {
		return Principal{}, fmt.Errorf("principal %q is not of the form User:NAME", s)
	}
	return Principal{kind, name}, nil
}

// Operation is what a request does to a resource; the values are those of the protocol.
type Operation int8

// The operations of Kafka 4.x. A filter may hold AnyOperation; a binding may hold All.
const (
	UnknownOperation Operation = iota
	AnyOperation
	All
	Read
	Write
	Create
	Delete
	Alter
	Describe
	ClusterAction
	DescribeConfigs
	AlterConfigs
	IdempotentWrite
	CreateTokens
	DescribeTokens
	TwoPhaseCommit
)

// ResourceType is a kind of resource; the values are those of the protocol.
type ResourceType int8

// The kinds of resources of Kafka 4.x. A filter may hold AnyResource.
const (
	UnknownResource ResourceType = iota
	AnyResource
	Topic
	Group
	Cluster
	TransactionalID
	DelegationToken
	User
)

// Subject is the kind of the Schema Registry's subjects, which Kafka does not have: no code near this one is Kafka's. Programs that
// speak Kafka's protocol do not know it, so a filter of AnyResource does not select it; who wants it asks for it (docs/design/0024).
const Subject ResourceType = 101

// ClusterName is the name of the one resource of the kind Cluster, and Wildcard the literal name that stands for all.
const (
	ClusterName = "kafka-cluster"
	Wildcard    = "*"
)

// PatternType is how the name of a binding is compared with that of a resource; the values are those of the protocol.
type PatternType int8

// The types of patterns. AnyPattern and Match stand in filters only: Match finds the bindings that are about a resource of
// the filter's name, however they name it.
const (
	UnknownPattern PatternType = iota
	AnyPattern
	Match
	Literal
	Prefixed
)

// Permission is what a binding does: allow or deny; the values are those of the protocol.
type Permission int8

// The permissions. AnyPermission stands in filters only.
const (
	UnknownPermission Permission = iota
	AnyPermission
	Deny
	Allow
)

// Binding is one access control list entry with the resources that it is about.
type Binding struct {
	Type       ResourceType
	Pattern    PatternType // Literal or Prefixed
	Name       string      // of the resource, or the prefix
	Principal  string      // "User:alice" or "User:*"
	Host       string      // an address or "*"
	Operation  Operation
	Permission Permission
}

// String is how people read a binding: "allow User:alice Read on prefixed topic orders- from *".
func (b Binding) String() string {
	return fmt.Sprintf("%s %s %s on %s %s %s from %s", b.Permission, b.Principal, b.Operation, b.Pattern, b.Type, b.Name, b.Host)
}

// Filter selects bindings. A nil string matches everything, as the Any values do.
type Filter struct {
	Type       ResourceType
	Pattern    PatternType
	Name       *string
	Principal  *string
	Host       *string
	Operation  Operation
	Permission Permission
}

// AnyFilter selects all bindings but those about subjects.
func AnyFilter() Filter {
	return Filter{Type: AnyResource, Pattern: AnyPattern, Operation: AnyOperation, Permission: AnyPermission}
}

// Selects tells whether the filter matches a binding.
func (f *Filter) Selects(b *Binding) bool {
	return (f.Type == AnyResource && b.Type != Subject || f.Type == b.Type) &&
		f.selectsName(b) &&
		(f.Principal == nil || *f.Principal == b.Principal) &&
		(f.Host == nil || *f.Host == b.Host) &&
		(f.Operation == AnyOperation || f.Operation == b.Operation) &&
		(f.Permission == AnyPermission || f.Permission == b.Permission)
}

func (f *Filter) selectsName(b *Binding) bool {
	switch {
	case f.Pattern != AnyPattern && f.Pattern != Match && f.Pattern != b.Pattern:
		return false
	case f.Name == nil:
		return true
	case f.Pattern != Match:
		return *f.Name == b.Name
	case b.Pattern == Prefixed:
		return strings.HasPrefix(*f.Name, b.Name)
	}
	return b.Name == *f.Name || b.Name == Wildcard
}

// canonicalHost writes an address as connections do, so that "0:0:0:0:0:0:0:1" and "::1" are one host.
func canonicalHost(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().WithZone("").String()
	}
	return host
}

// Supported are the operations that make sense for a kind of resource, in the order of their codes: those that Kafka's
// bit fields of authorized operations tell of.
func Supported(t ResourceType) []Operation {
	switch t {
	case Topic:
		return []Operation{Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs}
	case Group:
		return []Operation{Read, Delete, Describe, DescribeConfigs, AlterConfigs}
	case Cluster:
		return []Operation{Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite}
	case TransactionalID:
		return []Operation{Write, Describe, TwoPhaseCommit}
	case DelegationToken:
		return []Operation{Describe}
	case User:
		return []Operation{CreateTokens, DescribeTokens}
	case Subject:
		return []Operation{Read, Write, Delete, Describe, DescribeConfigs, AlterConfigs}
	}
	return nil
}
