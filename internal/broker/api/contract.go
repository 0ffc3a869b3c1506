package api

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/terms"
)

// What a produce does for topics with a contract (weir.contract.mode). Whoever judges records comes from outside, as Contracts; what
// becomes of a batch is decided here. A topic without terms costs a nil check.
//
// A batch is judged after its log has checked it and knows that it is no repetition, and before it gets an offset. It is opened for
// that, within limits; unless something must be changed its bytes go on as they came. What is taken out leaves a hole in the offsets
// and its producer's sequences as they were: the producer is answered with the offset that the batch has got, empty or not.
//
// Dead letters are in the log before the batch that they were taken from, so whatever is acknowledged is in one of the two. If the
// batch fails after that, its producer sends it again, and they are there twice.

// Contracts judges what producers send to topics that have terms. Its methods may be called from many goroutines.
type Contracts interface {
	// Judge returns who judges a batch of records of a topic by its terms. It is called for each batch.
	Judge(topic string, t *terms.Terms) Judge
	// Forget drops what is kept of deleted topics.
	Forget(topics []string)
}

// Judge judges the records of one batch. It belongs to one goroutine.
type Judge interface {
	// Record says whether a record obeys the terms; if not, how it does not. It keeps nothing of r. It may wait a moment for a schema
	// that is not known yet. An error says that the schemas cannot be had now.
	Record(ctx context.Context, r *record.Record) (v terms.Violation, obeys bool, err error)
	// Note is told what became of the batch. It keeps nothing of n but Keys.
	Note(n *terms.Judged)
}

// Bounds of what is done for one batch.
const (
	// judgedBytesMax bounds the records of one batch once decompressed.
	judgedBytesMax = 64 << 20
	// violationsMax bounds the violations that are handled one by one. A batch with more of them is refused as a whole.
	violationsMax = 10_000
	// refusedMax is after how many violations a batch that will be refused is not read on.
	refusedMax = 100
	// sampledMax is how many violations of a batch come with their keys.
	sampledMax = 8
)

// newJudging returns the slots of those who hold a decompressed batch to judge it.
func newJudging() chan struct{} { return make(chan struct{}, max(4, 2*runtime.GOMAXPROCS(0))) }

// inspection is the judging of one batch.
type inspection struct {
	server *Server
	conn   *Conn
	req    *kmsg.ProduceRequest
	topic  *topics.Topic
	judge  Judge
	judged terms.Judged
}

// produced names what a batch was sent for.
type produced struct {
	topic *topics.Topic
	req   *kmsg.ProduceRequest
	index int32
}

// appendJudged is AppendVerified for a topic with terms.
func (s *Server) appendJudged(ctx context.Context, c *Conn, log *partition.Log, batch []byte, in claim, p produced) (partition.Appended, error) {
	if s.contracts == nil {
		return log.AppendVerified(batch, in.verification)
	}
	i := &inspection{
		server: s, conn: c, req: p.req, topic: p.topic, judge: s.contracts.Judge(p.topic.Name, p.topic.Terms),
		judged: terms.Judged{Partition: p.index, BaseOffset: -1, Mode: p.topic.Terms.Mode},
	}
	a, err := log.AppendInspected(batch, in.verification, func(b []byte, limitBytes, level int) ([]byte, error) {
		return i.look(ctx, b, min(limitBytes, judgedBytesMax), level)
	})
	i.conclude(&a, err)
	return a, err
}

func (in *inspection) look(ctx context.Context, b []byte, limitBytes, level int) ([]byte, error) {
	t, found := in.topic.Terms, &in.judged.Violations
	if err := in.judgeAll(ctx, b, limitBytes); err != nil {
		return nil, err
	}
	if len(*found) == 0 {
		return b, nil
	}
	var refused, dead, marked int
	for i := range *found {
		switch in.fate(&(*found)[i]) {
		case terms.Reject:
			refused++
		case terms.DeadLetter:
			dead++
		case terms.Mark:
			marked++
		}
	}
	switch {
	case refused > 0:
		return nil, in.refusal(refused)
	case in.judged.More > 0 && dead+marked > 0:
		return nil, kafka.Errorf(kafka.InvalidRecord, "Contract of topic %s: more than %d records of the batch break it, the first: %s", in.topic.Name, violationsMax, (*found)[0].String())
	case dead > 0:
		return in.takeOut(ctx, b, limitBytes, level)
	case marked > 0 && t.Mode == terms.Mark:
		return in.mark(b, limitBytes, level)
	}
	return b, nil
}

// fate is what becomes of a record with a violation: the rule's own wish counts first, within what the topic's mode allows.
func (in *inspection) fate(v *terms.Violation) terms.Mode {
	mode := in.topic.Terms.Mode
	switch {
	case v.Mild, v.Reason == terms.Unchecked:
		return terms.Observe
	case v.DeadLetter && mode == terms.Reject:
		return terms.DeadLetter
	}
	return mode
}

// judgeAll fills in.judged. An error refuses the batch.
func (in *inspection) judgeAll(ctx context.Context, b []byte, limitBytes int) error {
	mode := in.topic.Terms.Mode
	head, err := record.ParseHeader(b)
	if err != nil {
		return err
	}
	if head.Codec() != record.None {
		select {
		case in.server.judging <- struct{}{}:
			defer func() { <-in.server.judging }()
		case <-ctx.Done():
			return kafka.Errorf(kafka.RequestTimedOut, "the broker is stopping")
		}
	}
	it, err := record.NewIterator(b, limitBytes)
	if err != nil {
		return in.unreadable(err)
	}
	defer it.Close()
	var r record.Record // one for the batch: who judges gets a pointer
	for i := int32(0); ; i++ {
		var ok bool
		if r, ok = it.Next(); !ok {
			break
		}
		if r.OffsetDelta != i {
			return in.unreadable(fmt.Errorf("record %d of the batch has offset delta %d: %w", i, r.OffsetDelta, record.ErrInvalid))
		}
		v, obeys, err := in.judge.Record(ctx, &r)
		switch {
		case err != nil && mode >= terms.DeadLetter:
			return kafka.Errorf(kafka.NotEnoughReplicas, "Contract of topic %s cannot be checked now: %v", in.topic.Name, err)
		case err != nil:
			v, obeys = terms.Violation{Reason: terms.Unchecked}, false
		}
		if obeys {
			in.judged.Obeyed++
			continue
		}
		v.Index = i
		if in.add(v, &r) {
			return nil
		}
	}
	if it.Err() != nil {
		return in.unreadable(it.Err())
	}
	return nil
}

// add notes a violation and says whether no more of the batch need be read.
func (in *inspection) add(v terms.Violation, r *record.Record) bool {
	if len(in.judged.Violations) >= violationsMax {
		in.judged.More++
		return in.topic.Terms.Mode == terms.Reject
	}
	if len(in.judged.Keys) < sampledMax {
		in.judged.Keys = append(in.judged.Keys, slices.Clone(r.Key))
	}
	in.judged.Violations = append(in.judged.Violations, v)
	return len(in.judged.Violations) >= refusedMax && in.fate(&v) == terms.Reject
}

// unreadable is for a batch whose records cannot be read. Who observes does not disturb: Kafka's readers will meet it as they would
// without a contract.
func (in *inspection) unreadable(err error) error {
	if in.topic.Terms.Mode == terms.Observe {
		in.judged.Violations = append(in.judged.Violations[:0], terms.Violation{Reason: terms.Unreadable, Detail: err.Error()})
		in.judged.Keys, in.judged.Obeyed, in.judged.More = nil, 0, 0
		return nil
	}
	code := kafka.InvalidRecord
	switch {
	case errors.Is(err, record.ErrTooLarge):
		code = kafka.MessageTooLarge
	case errors.Is(err, record.ErrCompression):
		code = kafka.UnknownServerError // as where a log opens a batch
	}
	return kafka.Errorf(code, "Contract of topic %s: %v", in.topic.Name, err)
}

// refusal names the records for which the batch is refused.
func (in *inspection) refusal(n int) error {
	e := &partition.RecordsError{Err: kafka.InvalidRecord}
	for i := range in.judged.Violations {
		v := &in.judged.Violations[i]
		if in.fate(v) != terms.Reject {
			continue
		}
		text := v.String()
		if e.Message == "" {
			e.Message = fmt.Sprintf("Contract of topic %s: %s", in.topic.Name, text)
			if n > 1 {
				e.Message = fmt.Sprintf("Contract of topic %s: %d records of the batch break it, the first: %s", in.topic.Name, n, text)
			}
		}
		if len(e.Records) < refusedMax {
			e.Records = append(e.Records, partition.RecordError{Index: v.Index, Message: text})
		}
	}
	return e
}

// mark adds headers to the records that break the contract.
func (in *inspection) mark(b []byte, limitBytes, level int) ([]byte, error) {
	rest := in.judged.Violations
	return record.Annotate(b, record.AnnotateOptions{LimitBytes: limitBytes, Level: level}, func(i int32) []record.RecordHeader {
		for len(rest) > 0 && rest[0].Index < i {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0].Index != i || in.fate(&rest[0]) != terms.Mark {
			return nil
		}
		return rest[0].Headers()
	})
}

// conclude tells the judge what became of the batch.
func (in *inspection) conclude(a *partition.Appended, err error) {
	if a.Duplicate || in.judged.Obeyed+len(in.judged.Violations) == 0 {
		return
	}
	if err == nil {
		in.judged.BaseOffset = a.BaseOffset
	} else if _, named := errors.AsType[*partition.RecordsError](err); !named {
		return // refused for another reason: the batch will come again, and be counted then
	}
	in.judge.Note(&in.judged)
}
