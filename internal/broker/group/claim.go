package group

import "github.com/weir-stream/weir/internal/kafka"

// Events that may bring a classic group into being, and what becomes of them where the name belongs to a group that is
// kept elsewhere, such as a share group.

// Claims names the group.
func (e Join) Claims() string { return e.Group }

// Refused is the reply.
func (e Join) Refused() any {
	return JoinReply{Err: kafka.InconsistentGroupProtocol, MemberID: e.MemberID, Generation: NoGeneration}
}

// Claims names the group.
func (e Commit) Claims() string { return e.Group }

// Refused is the reply.
func (e Commit) Refused() any { return CommitReply{Err: kafka.GroupIDNotFound} }

// Claims names the group.
func (e TxnCommit) Claims() string { return e.Group }

// Refused is the reply.
func (e TxnCommit) Refused() any { return CommitReply{Err: kafka.GroupIDNotFound} }
