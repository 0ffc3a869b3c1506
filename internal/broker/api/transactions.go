package api

import (
	"context"

	"github.com/weir-stream/weir/internal/broker/machine"
)

// GroupTransactions is what handlers ask of the coordinator of transactions about groups, whose offsets may be part of a
// transaction. Both methods return nil if the group is part of the producer's open transaction.
type GroupTransactions interface {
	// VerifyGroup only looks (KIP-890, part 1); kafka.TransactionAbortable says that there is no such transaction, or that
	// the group is not part of it.
	VerifyGroup(ctx context.Context, transactionalID string, p machine.Producer, group string) error
	// AddGroup adds the group to the transaction, which it begins if need be (KIP-890, part 2).
	AddGroup(ctx context.Context, transactionalID string, p machine.Producer, group string) error
}
