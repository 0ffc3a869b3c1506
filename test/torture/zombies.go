package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// zombies makes producers that go on when they should not.
type zombies struct {
	addr, topic, name string
	rng               *rand.Rand
	history           *History
	made              int
	// replaced, timedOut and late count what was done to the end.
	replaced, timedOut, late atomic.Int64
}

// run makes one after the other until ctx ends. What a kill of the broker interrupts counts for nothing.
func (z *zombies) run(ctx context.Context) error {
	for ctx.Err() == nil {
		z.made++
		old := z.rng.IntN(3) == 0
		var err error
		switch z.rng.IntN(3) {
		case 0:
			err = z.replace(ctx, old)
		case 1:
			err = z.timeOut(ctx, old)
		default:
			err = z.endLate(ctx)
		}
		if err != nil && ctx.Err() == nil {
			_ = pause(ctx, 100*time.Millisecond) // the loop sees the end of ctx
		}
	}
	return nil
}

// producer is a transactional producer that writes records of a few named transactions.
type producer struct {
	*kgo.Client
	z   *zombies
	txn string
}

func (z *zombies) producer(id, txn string, old bool) (*producer, error) {
	cl, err := kgo.NewClient(options(z.addr, old, kgo.TransactionalID(id), kgo.DefaultProduceTopic(z.topic), kgo.RetryTimeout(5*time.Second))...)
	if err != nil {
		return nil, err
	}
	return &producer{cl, z, txn}, nil
}

// write produces the records from from to to of a transaction of three, one to each partition in turn.
func (p *producer) write(ctx context.Context, from, to int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for i := from; i < to; i++ {
		r := Record{Value: fmt.Sprintf("%s.%d", p.txn, i), Txn: p.txn, Of: 3}
		if err := p.ProduceSync(ctx, &kgo.Record{Partition: int32(i % partitions), Value: r.Encode()}).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// end ends the transaction. What came of it is noted.
func (p *producer) end(ctx context.Context, how kgo.TransactionEndTry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	err := p.EndTransaction(ctx, how)
	switch {
	case err != nil:
		p.z.history.Ended(p.txn, p.z.topic, 3, Unknown)
	case how == kgo.TryCommit:
		p.z.history.Ended(p.txn, p.z.topic, 3, Committed)
	default:
		p.z.history.Ended(p.txn, p.z.topic, 3, Aborted)
	}
	return err
}

// replace pauses a producer in a transaction, lets another with its id come and go, and wakes it up.
func (z *zombies) replace(ctx context.Context, old bool) error {
	id := fmt.Sprintf("%s-r%d", z.name, z.made)
	zombie, err := z.producer(id, id+"-zombie", old)
	if err != nil {
		return err
	}
	defer zombie.Close()
	successor, err := z.producer(id, id+"-successor", old)
	if err != nil {
		return err
	}
	defer successor.Close()
	if err := zombie.BeginTransaction(); err != nil {
		return err
	}
	if err := zombie.write(ctx, 0, 2); err != nil {
		return err
	}
	if err := successor.BeginTransaction(); err != nil {
		return err
	}
	if err := successor.write(ctx, 0, 1); err != nil {
		return err
	}
	// From here on the zombie is fenced, whatever happens.
	z.history.Ended(zombie.txn, z.topic, 3, Aborted)
	if err := zombie.write(ctx, 2, 3); err == nil {
		z.history.Broke("the zombie %s wrote a record after its successor had come", zombie.txn)
	}
	if err := zombie.EndTransaction(ctx, kgo.TryCommit); err == nil {
		z.history.Broke("the zombie %s committed after its successor had come", zombie.txn)
	}
	if err := successor.write(ctx, 1, 3); err != nil {
		return err
	}
	if err := successor.end(ctx, kgo.TryCommit); err != nil {
		return err
	}
	z.replaced.Add(1)
	return nil
}

// timeOut leaves a transaction open for longer than its time-out, and then wants to commit it.
func (z *zombies) timeOut(ctx context.Context, old bool) error {
	id := fmt.Sprintf("%s-t%d", z.name, z.made)
	p, err := z.producer(id, id, old)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.BeginTransaction(); err != nil {
		return err
	}
	if err := p.write(ctx, 0, 3); err != nil {
		return err
	}
	if err := pause(ctx, transactionTimeout+500*time.Millisecond); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = p.EndTransaction(limit, kgo.TryCommit)
	switch {
	case err == nil:
		z.history.Broke("%s was committed after its time-out", p.txn)
		z.history.Ended(p.txn, z.topic, 3, Committed)
		return nil
	case errors.Is(err, kerr.InvalidTxnState):
		z.history.Broke("the commit of %s after its time-out got INVALID_TXN_STATE (KAFKA-20785)", p.txn)
	}
	z.history.Ended(p.txn, z.topic, 3, Aborted)
	z.timedOut.Add(1)
	return nil
}

// endLate sends the EndTxn of a transaction once more while the next is open, with either outcome: it must not end that
// (KAFKA-17754, which KIP-890 closes).
func (z *zombies) endLate(ctx context.Context) error {
	id := fmt.Sprintf("%s-l%d", z.name, z.made)
	p, err := z.producer(id, id+"-first", false)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.BeginTransaction(); err != nil {
		return err
	}
	if err := p.write(ctx, 0, 3); err != nil {
		return err
	}
	pid, epoch, err := p.ProducerID(ctx)
	if err != nil {
		return err
	}
	if err := p.end(ctx, kgo.TryCommit); err != nil {
		return err
	}
	p.txn = id + "-second"
	if err := p.BeginTransaction(); err != nil {
		return err
	}
	if err := p.write(ctx, 0, 2); err != nil {
		return err
	}
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = id, pid, epoch, z.rng.IntN(2) == 0
	res, err := req.RequestWith(ctx, p.Client)
	if err != nil {
		return err
	}
	if kerr.ErrorForCode(res.ErrorCode) == nil {
		z.history.Broke("an EndTxn of %s-first was accepted while %s-second was open", id, id)
	}
	if err := p.write(ctx, 2, 3); err != nil {
		return err
	}
	if err := p.end(ctx, kgo.TryCommit); err != nil {
		return err
	}
	z.late.Add(1)
	return nil
}
