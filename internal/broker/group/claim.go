package group

import "github.com/weir-stream/weir/internal/kafka"

// Events that may bring a classic group into being, and what becomes of them where the name belongs to a group that is
// kept elsewhere, such as a share group.

// Claims names the group, and takes it over from another kind that has no members in it.
func (e Join) Claims() (string, bool) { return e.Group, true }

// Refused is the reply.
func (e Join) Refused() any {
	return JoinReply{Err: kafka.InconsistentGroupProtocol, MemberID: e.MemberID, Generation: NoGeneration}
}

// Claims names the group.
func (e Commit) Claims() (string, bool) { return e.Group, false }

// Refused is the reply.
func (e Commit) Refused() any { return CommitReply{Err: kafka.GroupIDNotFound} }

// Claims names the group.
func (e TxnCommit) Claims() (string, bool) { return e.Group, false }

// Refused is the reply.
func (e TxnCommit) Refused() any { return CommitReply{Err: kafka.GroupIDNotFound} }
