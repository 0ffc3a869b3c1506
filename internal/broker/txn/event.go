package txn

import (
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// Producer is a producer id with an epoch.
type Producer = machine.Producer

// NoProducer stands in replies that have none.
var NoProducer = Producer{ID: txnrecord.None, Epoch: txnrecord.None}

// Init gives a producer of a transactional id its id and epoch, and fences all before it (InitProducerId). Its reply is
// an InitReply.
type Init struct {
	TransactionalID string
	TimeoutMillis   int32
	// Known is what the producer had until now and wants to go on from (KIP-360); nil: it is a new one.
	Known *Producer
	// NewProducerID is an id that was never given out, or txnrecord.None. Where one is needed and there is none the
	// reply says so, and nothing has changed.
	NewProducerID int64
}

// InitReply answers Init.
type InitReply struct {
	Err             kafka.Error
	Producer        Producer
	NeedsProducerID bool
}

// AddPartitions makes partitions part of the producer's transaction, and begins it with the first. Its reply is a
// kafka.Error.
type AddPartitions struct {
	TransactionalID string
	Producer        Producer
	Partitions      []kafka.TopicPartition
	// Bumps says that the client takes a new epoch with each transaction (KIP-890).
	Bumps bool
}

// Verify asks whether partitions are part of the producer's open transaction. Its reply is a VerifyReply.
type Verify struct {
	TransactionalID string
	Producer        Producer
	Partitions      []kafka.TopicPartition
}

// VerifyReply answers Verify: one error for all, or else one for each partition in the order of the request, which is
// None or TransactionAbortable.
type VerifyReply struct {
	Err        kafka.Error
	Partitions []kafka.Error
}

// End ends a transaction. Its reply, an EndReply, leaves when the outcome is durable; markers follow.
type End struct {
	TransactionalID string
	Producer        Producer
	Commit          bool
	// Bumps says that the client goes on with the producer that the reply names (EndTxn v5, KIP-890).
	Bumps bool
	// NewProducerID is as in Init.
	NewProducerID int64
}

// NeedsCaller implements machine.Attended: the epoch of a client that bumps tells a late request from one of the next transaction.
// That of another does not, and one who gave up on a request closes the connection that it went by (KAFKA-17754).
func (e End) NeedsCaller() bool { return !e.Bumps }

// EndReply answers End. Producer is what a client that bumps goes on with.
type EndReply struct {
	Err             kafka.Error
	Producer        Producer
	NeedsProducerID bool
}

// MarkersWritten tells that what Complete asked for is done. Its reply is kafka.None; an outcome that is not, or no
// longer, prepared is passed over.
type MarkersWritten struct {
	TransactionalID string
	Producer        Producer
}

// Pending asks what Complete would have asked for. Its reply is a *Complete, nil if no end is prepared.
type Pending struct{ TransactionalID string }

// Describe asks for the state of an id. Its reply is a *txnrecord.Transaction, nil if there is none. It must not be
// changed, and does not change.
type Describe struct{ TransactionalID string }

// List asks for all ids. Its reply is a []Listing, sorted by id.
type List struct{}

// Listing is one id with its state, which must not be changed.
type Listing struct {
	TransactionalID string
	Transaction     *txnrecord.Transaction
}

// Complete is an effect: the end of a transaction is decided and durable, and markers are to be written to its partitions.
// When each partition has its marker or is gone, MarkersWritten with the same producer is due. Complete comes again after
// a restart. Two of one id may never be carried out at the same time: a marker that comes late would end the next
// transaction.
type Complete struct {
	TransactionalID string
	// Producer is what the marker carries.
	Producer   Producer
	Commit     bool
	Partitions []kafka.TopicPartition
	// Bumps says that the producer's records have a lower epoch than the marker.
	Bumps bool
}
