package coordinator

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// Transactions coordinates the transactional ids of the partitions of __transaction_state that this broker owns: in the
// embedded profile, all. Requests and replies are the nouns of package txn. Every method but New may be called at any
// time. Errors are kafka.Error codes, refusals by the rules of transactions among them, or the context's error.
type Transactions struct {
	runtime *Runtime
	newID   func(context.Context) (int64, error)
	groupAt func(context.Context, string) (int32, error)
	writer  *markerWriter
}

// TransactionsOptions are the options of Transactions. Those without a default are required.
type TransactionsOptions struct {
	Options
	Transactions txn.Options
	Markers      Markers
	// NewProducerID gives out an id that was never given out before, by any broker.
	NewProducerID func(context.Context) (int64, error)
	// GroupPartition returns the partition of __consumer_offsets that keeps a group's offsets, and creates the topic if need be.
	GroupPartition func(ctx context.Context, group string) (int32, error)
}

// NewTransactions returns a coordinator that knows no transactional id until it runs.
func NewTransactions(o TransactionsOptions) *Transactions {
	t := &Transactions{newID: o.NewProducerID, groupAt: o.GroupPartition, writer: newMarkerWriter(o)}
	t.runtime = NewRuntime(Kind{
		Name: "transaction", Topic: kafka.TransactionStateTopic,
		NewMachine: func(int32) machine.Machine { return txn.NewMachine(o.Transactions) },
		Effect:     func(ctx context.Context, tenure Tenure, effect any) { t.writer.add(ctx, tenure, effect.(txn.Complete)) },
	}, o.Options)
	t.writer.ask = t.runtime.AskPartition
	return t
}

// Run loads what is there, finishes what was prepared, and serves until ctx ends. It calls ready at once.
func (t *Transactions) Run(ctx context.Context, ready func()) error {
	var writing sync.WaitGroup
	defer writing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	writing.Go(func() { t.writer.run(ctx) })
	return t.runtime.Run(ctx, ready)
}

// Coordinator makes sure that transactional ids have a coordinator, which is this broker. The first call creates
// __transaction_state. The error is kafka.CoordinatorNotAvailable if that has not succeeded yet.
func (t *Transactions) Coordinator(ctx context.Context) error { return t.runtime.Ensure(ctx) }

// Init gives a producer its id and epoch. NewProducerID is filled in here.
func (t *Transactions) Init(ctx context.Context, e txn.Init) (txn.Producer, error) {
	if e.TransactionalID == "" {
		return txn.NoProducer, kafka.InvalidRequest // whether there is a coordinator or not
	}
	e.NewProducerID = txnrecord.None
	for {
		r, err := ask[txn.InitReply](ctx, t.runtime, e.TransactionalID, e)
		if err != nil {
			return txn.NoProducer, err
		}
		if !r.NeedsProducerID {
			return r.Producer, orNil(r.Err, nil)
		}
		if e.NewProducerID, err = t.drawID(ctx); err != nil {
			return txn.NoProducer, err
		}
	}
}

// drawID returns a new producer id, or an error that clients try again.
func (t *Transactions) drawID(ctx context.Context) (int64, error) {
	id, err := t.newID(ctx)
	if err != nil && ctx.Err() == nil {
		t.runtime.options.Logger.Warn("no producer id", "err", err)
		err = kafka.CoordinatorLoadInProgress
	}
	return id, err
}

// AddPartitions makes partitions part of a transaction.
func (t *Transactions) AddPartitions(ctx context.Context, e txn.AddPartitions) error {
	if e.TransactionalID == "" {
		return kafka.InvalidRequest
	}
	return orNil(ask[kafka.Error](ctx, t.runtime, e.TransactionalID, e))
}

// Verify says of each partition, in their order, whether it is part of the producer's open transaction.
func (t *Transactions) Verify(ctx context.Context, e txn.Verify) ([]kafka.Error, error) {
	if e.TransactionalID == "" {
		return nil, kafka.InvalidRequest
	}
	r, err := ask[txn.VerifyReply](ctx, t.runtime, e.TransactionalID, e)
	return r.Partitions, orNil(r.Err, err)
}

// AddGroup makes the offsets of a group part of the transaction of a producer that takes an epoch with each (KIP-890).
func (t *Transactions) AddGroup(ctx context.Context, id string, p txn.Producer, group string) error {
	return t.addOffsets(ctx, id, p, group, true)
}

// AddOffsets is AddGroup for other producers.
func (t *Transactions) AddOffsets(ctx context.Context, id string, p txn.Producer, group string) error {
	return t.addOffsets(ctx, id, p, group, false)
}

func (t *Transactions) addOffsets(ctx context.Context, id string, p txn.Producer, group string, bumps bool) error {
	at, err := t.groupAt(ctx, group)
	if err != nil {
		return err
	}
	offsets := []kafka.TopicPartition{{Topic: kafka.GroupMetadataTopic, Partition: at}}
	return t.AddPartitions(ctx, txn.AddPartitions{TransactionalID: id, Producer: p, Partitions: offsets, Bumps: bumps})
}

// VerifyGroup returns nil if the offsets of a group are part of the producer's open transaction.
func (t *Transactions) VerifyGroup(ctx context.Context, id string, p txn.Producer, group string) error {
	at, err := t.groupAt(ctx, group)
	if err != nil {
		return err
	}
	offsets := []kafka.TopicPartition{{Topic: kafka.GroupMetadataTopic, Partition: at}}
	each, err := t.Verify(ctx, txn.Verify{TransactionalID: id, Producer: p, Partitions: offsets})
	if err != nil {
		return err
	}
	return orNil(each[0], nil)
}

// End ends a transaction. The outcome is durable when it returns, and markers follow. NewProducerID is filled in here.
// The producer is what a client that bumps goes on with.
func (t *Transactions) End(ctx context.Context, e txn.End) (txn.Producer, error) {
	if e.TransactionalID == "" {
		return txn.NoProducer, kafka.InvalidRequest
	}
	e.NewProducerID = txnrecord.None
	for {
		r, err := ask[txn.EndReply](ctx, t.runtime, e.TransactionalID, e)
		if err != nil {
			return txn.NoProducer, err
		}
		if !r.NeedsProducerID {
			return r.Producer, orNil(r.Err, nil)
		}
		if e.NewProducerID, err = t.drawID(ctx); err != nil {
			return txn.NoProducer, err
		}
	}
}

// Ending says whether the end of a transaction of the producer is decided and its markers are being written. Its records
// are not to be taken any more, also where the marker has not come yet.
func (t *Transactions) Ending(producerID int64) bool { return t.writer.ending(producerID) }

// Describe returns the state of an id, which must not be changed. The error is kafka.TransactionalIDNotFound if there is
// none.
func (t *Transactions) Describe(ctx context.Context, id string) (*txnrecord.Transaction, error) {
	x, err := ask[*txnrecord.Transaction](ctx, t.runtime, id, txn.Describe{TransactionalID: id})
	if err == nil && x == nil {
		err = kafka.TransactionalIDNotFound
	}
	return x, err
}

// List returns all ids, sorted. Their states must not be changed.
func (t *Transactions) List(ctx context.Context) ([]txn.Listing, error) {
	lists, err := askAll[[]txn.Listing](ctx, t.runtime, txn.List{})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b txn.Listing) int { return cmp.Compare(a.TransactionalID, b.TransactionalID) })
	return all, nil
}
