package tail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Record is one record, shared by all readers: it must not be changed.
type Record struct {
	*kgo.Record
	// memos holds what readers made of the record, so that each form is made once. See Memo.
	memos atomic.Pointer[memo]
}

// memo is one form of a record; records are mostly read in one form, more are a short list.
type memo struct {
	form  string
	value any
	next  *memo
}

// formsMax bounds how many forms of a record are kept.
const formsMax = 4

// Memo returns what make makes of the record, remembered under the name of the form. What it returns is shared and must not be
// changed.
func (r *Record) Memo(form string, make func(*kgo.Record) any) any {
	head, n := r.memos.Load(), 0
	for at := head; at != nil; at = at.next {
		if at.form == form {
			return at.value
		}
		n++
	}
	value := make(r.Record)
	if n < formsMax {
		r.memos.CompareAndSwap(head, &memo{form, value, head}) // whoever lost made the same
	}
	return value
}

// ring holds the newest records of a partition: all that there are in [start, next).
type ring struct {
	start, next int64
	records     []*Record
	bytes       int
}

// feed follows one topic as one principal.
type feed struct {
	hub    *Hub
	key    key
	dial   Dial
	cancel context.CancelFunc
	ready  chan struct{} // closed once rings has the partitions of the topic
	done   chan struct{} // closed when the feed has ended
	err    error         // why; to be read after done

	// Guarded by Hub.mu.
	readers   int
	idleSince time.Time

	mu      sync.Mutex
	rings   map[int32]*ring
	order   []int32 // of partitions, by arrival of the oldest record: whose ring gives way first
	bytes   int
	changed chan struct{} // closed when records or partitions come
}

func newFeed(h *Hub, k key, dial Dial, cancel context.CancelFunc) *feed {
	return &feed{hub: h, key: k, dial: dial, cancel: cancel, ready: make(chan struct{}), done: make(chan struct{}), rings: map[int32]*ring{}, changed: make(chan struct{})}
}

// run follows the topic until the feed is dropped or cannot go on. Its readers then get the cause.
func (f *feed) run(ctx context.Context) {
	err := f.follow(ctx)
	if ctx.Err() != nil {
		err = ErrClosed
	}
	f.hub.mu.Lock()
	f.hub.forget(f)
	f.hub.mu.Unlock()
	f.err = err
	close(f.done)
	f.cancel()
}

func (f *feed) isolation() kgo.IsolationLevel {
	if f.key.committed {
		return kgo.ReadCommitted()
	}
	return kgo.ReadUncommitted()
}

// Sizes of fetches. A feed keeps a few MiB, so it asks for less at a time.
const (
	fetchBytes   = 1 << 20
	pollRecords  = 1000
	fetchMaxWait = time.Second
)

// options of all consumers of this package. Control records are kept so that positions move over them.
func (f *feed) options(offsets map[int32]int64) []kgo.Opt {
	at := map[int32]kgo.Offset{}
	for p, o := range offsets {
		at[p] = kgo.NewOffset().At(o)
	}
	return []kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.key.topic: at}), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(f.isolation()), kgo.KeepControlRecords(), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes),
		kgo.FetchMaxWait(fetchMaxWait), kgo.MaxConcurrentFetches(1), kgo.DisableClientMetrics(),
	}
}

func (f *feed) follow(ctx context.Context) error {
	ends, err := f.list(ctx)
	if err != nil {
		return err
	}
	cl, err := f.dial(ctx, f.options(ends)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	f.mu.Lock()
	for p, end := range ends {
		f.rings[p] = &ring{start: end, next: end}
	}
	f.mu.Unlock()
	close(f.ready)
	looked := time.Now()
	for {
		poll, cancel := context.WithTimeout(ctx, max(f.hub.o.Partitions-time.Since(looked), time.Millisecond))
		fetches := cl.PollRecords(poll, pollRecords)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fatal(fetches); err != nil {
			return err
		}
		f.add(fetches)
		if time.Since(looked) >= f.hub.o.Partitions {
			if err := f.look(ctx, cl); err != nil {
				return err
			}
			looked = time.Now()
		}
	}
}

// list returns the end of each partition.
func (f *feed) list(ctx context.Context) (map[int32]int64, error) {
	cl, err := f.dial(ctx, kgo.DisableClientMetrics())
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return f.listWith(ctx, cl, End)
}

// listWith returns a place in each partition as offsets.
func (f *feed) listWith(ctx context.Context, cl *kgo.Client, from From) (map[int32]int64, error) {
	adm := kadm.NewClient(cl)
	if err := f.mayRead(ctx, cl); err != nil {
		return nil, err
	}
	var listed kadm.ListedOffsets
	var err error
	switch {
	case from.kind == fromStart:
		listed, err = adm.ListStartOffsets(ctx, f.key.topic)
	case from.kind == fromTime:
		listed, err = adm.ListOffsetsAfterMilli(ctx, from.at, f.key.topic)
	case f.key.committed:
		listed, err = adm.ListCommittedOffsets(ctx, f.key.topic)
	default:
		listed, err = adm.ListEndOffsets(ctx, f.key.topic)
	}
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("offsets of topic %s: %w", f.key.topic, unknown(err))
	}
	out := map[int32]int64{}
	for p, o := range listed[f.key.topic] {
		if p < 0 {
			return nil, fmt.Errorf("topic %s: %w", f.key.topic, ErrUnknownTopic)
		}
		out[p] = o.Offset
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("topic %s: %w", f.key.topic, ErrUnknownTopic)
	}
	return out, nil
}

// mayRead asks the broker whether the principal may read the topic, before anything is answered: offsets can be listed with less.
func (f *feed) mayRead(ctx context.Context, cl *kgo.Client) error {
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &f.key.topic
	req.Topics, req.IncludeTopicAuthorizedOperations, req.AllowAutoTopicCreation = append(req.Topics, topic), true, false
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("look for topic %s: %w", f.key.topic, err)
	}
	for _, t := range res.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("topic %s: %w", f.key.topic, unknown(err))
		}
		if t.AuthorizedOperations != -1<<31 && t.AuthorizedOperations&(1<<kmsg.ACLOperationRead) == 0 {
			return fmt.Errorf("topic %s: %w", f.key.topic, kerr.TopicAuthorizationFailed)
		}
	}
	return nil
}

// unknown adds ErrUnknownTopic to an error that means it.
func unknown(err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.InvalidTopicException) || errors.Is(err, kerr.UnknownTopicID) {
		return fmt.Errorf("%w: %w", ErrUnknownTopic, err)
	}
	return err
}

// look adds partitions that the topic has got.
func (f *feed) look(ctx context.Context, cl *kgo.Client) error {
	starts, err := f.listWith(ctx, cl, Start)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ErrUnknownTopic) && !errors.Is(err, kerr.TopicAuthorizationFailed) {
			f.hub.o.Logger.Debug("partitions not listed", "topic", f.key.topic, "err", err)
			return nil
		}
		return err
	}
	add := map[int32]kgo.Offset{}
	f.mu.Lock()
	for p, start := range starts {
		if f.rings[p] == nil {
			f.rings[p] = &ring{start: start, next: start}
			add[p] = kgo.NewOffset().At(start)
		}
	}
	if len(add) > 0 {
		f.tell()
	}
	f.mu.Unlock()
	if len(add) > 0 {
		cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{f.key.topic: add})
	}
	return nil
}

// fatal returns the error of a poll after which its consumer cannot go on.
func fatal(fetches kgo.Fetches) error {
	var err error
	fetches.EachError(func(topic string, partition int32, e error) {
		if errors.Is(e, context.DeadlineExceeded) || errors.Is(e, context.Canceled) {
			return
		}
		if k, ok := errors.AsType[*kerr.Error](e); ok && k.Retriable && !errors.Is(e, kerr.UnknownTopicOrPartition) && !errors.Is(e, kerr.UnknownTopicID) {
			return
		}
		if _, ok := errors.AsType[*kgo.ErrDataLoss](e); ok {
			return
		}
		err = errors.Join(err, fmt.Errorf("read partition %s-%d: %w", topic, partition, unknown(e)))
	})
	return err
}

// add puts what came into the rings and wakes who waits.
func (f *feed) add(fetches kgo.Fetches) {
	f.mu.Lock()
	defer f.mu.Unlock()
	came := false
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		r := f.rings[p.Partition]
		if r == nil || len(p.Records) == 0 {
			return
		}
		came = true
		for _, record := range p.Records {
			if record.Offset < r.next {
				continue
			}
			r.next = record.Offset + 1
			if record.Attrs.IsControl() {
				continue
			}
			r.records = append(r.records, &Record{Record: record})
			size := sizeOf(record)
			r.bytes, f.bytes = r.bytes+size, f.bytes+size
			f.order = append(f.order, p.Partition)
		}
	})
	f.trim()
	if came {
		f.tell()
	}
}

// recordOverhead is about what a record costs beside its bytes.
const recordOverhead = 256

// sizeOf is what a record is counted as: its bytes, and as many again for the form in which they are read.
func sizeOf(r *kgo.Record) int { return 2*(len(r.Key)+len(r.Value)) + recordOverhead }

// trim drops the oldest records until the feed is within its bytes. mu is held.
func (f *feed) trim() {
	drop := 0
	for ; drop < len(f.order) && f.bytes > f.hub.o.RingBytes; drop++ {
		r := f.rings[f.order[drop]]
		oldest := r.records[0]
		size := sizeOf(oldest.Record)
		r.start = oldest.Offset + 1
		r.records[0] = nil
		r.records = r.records[1:]
		r.bytes, f.bytes = r.bytes-size, f.bytes-size
	}
	f.order = slices.Delete(f.order, 0, drop)
}

// tell wakes all that wait. mu is held.
func (f *feed) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}
