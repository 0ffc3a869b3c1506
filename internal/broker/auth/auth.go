// Package auth says who a client is and what it may do: principals, the bindings of Kafka's ACLs as they are kept in the
// metadata store, and the authorizer that decides.
//
// The package owns the rules and the credentials as they are kept in the metadata store; it knows no message types of the
// wire. It is used by the listeners (authentication) and by the request handlers (authorization), and may import kafka
// and base. The nouns of ACLs and the pure evaluation are in kafka/acl, which the command line uses too; their names are
// repeated here so that a handler needs one import.
package auth

import "github.com/weir-stream/weir/internal/kafka/acl"

// Principal names a client as ACLs do: "User:alice".
type Principal = acl.Principal

// Anonymous is the principal of a client of a listener without authentication.
var Anonymous = acl.Anonymous

// Operation is what a request does to a resource; the values are those of the protocol.
type Operation = acl.Operation

// The operations of Kafka 4.x.
const (
	UnknownOperation = acl.UnknownOperation
	AnyOperation     = acl.AnyOperation
	All              = acl.All
	Read             = acl.Read
	Write            = acl.Write
	Create           = acl.Create
	Delete           = acl.Delete
	Alter            = acl.Alter
	Describe         = acl.Describe
	ClusterAction    = acl.ClusterAction
	DescribeConfigs  = acl.DescribeConfigs
	AlterConfigs     = acl.AlterConfigs
	IdempotentWrite  = acl.IdempotentWrite
	CreateTokens     = acl.CreateTokens
	DescribeTokens   = acl.DescribeTokens
	TwoPhaseCommit   = acl.TwoPhaseCommit
)

// ResourceType is a kind of resource; the values are those of the protocol.
type ResourceType = acl.ResourceType

// The kinds of resources of Kafka 4.x.
const (
	UnknownResource = acl.UnknownResource
	AnyResource     = acl.AnyResource
	Topic           = acl.Topic
	Group           = acl.Group
	Cluster         = acl.Cluster
	TransactionalID = acl.TransactionalID
	DelegationToken = acl.DelegationToken
	User            = acl.User
	Subject         = acl.Subject
)

// ClusterName is the name of the one resource of the kind Cluster.
const ClusterName = acl.ClusterName
