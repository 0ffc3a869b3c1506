// Package auth says who a client is and what it may do: principals, the operations and resources of Kafka's ACLs, and the
// authorizer that decides.
//
// The package owns the rules and the credentials as they are kept in the metadata store; it knows no message types of the
// wire. It is used by the listeners (authentication) and by the request handlers (authorization), and may import kafka
// and base.
package auth

// Principal names a client as ACLs do: "User:alice". Type is "User" but for principals of other kinds that an operator
// may have named in ACLs.
type Principal struct{ Type, Name string }

func (p Principal) String() string { return p.Type + ":" + p.Name }

// Anonymous is the principal of a client of a listener without authentication.
var Anonymous = Principal{Type: "User", Name: "ANONYMOUS"}

// Operation is what a request does to a resource; the values are those of the protocol.
type Operation int8

// The operations of Kafka 4.x.
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

// The kinds of resources of Kafka 4.x.
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

// ClusterName is the name of the one resource of the kind Cluster.
const ClusterName = "kafka-cluster"
