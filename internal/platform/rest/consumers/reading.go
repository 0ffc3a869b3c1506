package consumers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Records waits for records, for a time (negative: that of the instance), and returns those that fit into a number of bytes of keys and
// values (0: as many as may be), but at least one. None is no error. Show is called for each in order; one that cannot be shown ends the
// answer before it, and is passed over with the error of show once it is the first.
func (i *Instance) Records(ctx context.Context, wait time.Duration, maxBytes int, show func(*kgo.Record) error) error {
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if i.client == nil {
		return fmt.Errorf("%w: Consumer is not subscribed to any topics or assigned any partitions", ErrIllegalState)
	}
	if wait < 0 {
		wait = i.config.Wait
	}
	if maxBytes <= 0 || maxBytes > i.manager.o.MaxBytes {
		maxBytes = i.manager.o.MaxBytes
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var out []*kgo.Record
	size, poll := 0, true
	for {
		var full bool
		if out, size, full = i.fit(out, size, maxBytes); full || !poll {
			break
		}
		if size > 0 && size >= i.config.MinBytes && i.client.BufferedFetchRecords() == 0 {
			break
		}
		fetches := i.client.PollRecords(ctx, pollRecords)
		i.pending = fetches.Records()
		if err := serious(fetches); err != nil && len(out) == 0 && len(i.pending) == 0 {
			return err
		}
		poll = ctx.Err() == nil
	}
	return i.deliver(out, show)
}

// deliver shows records; what cannot be shown now waits for the next answer.
func (i *Instance) deliver(records []*kgo.Record, show func(*kgo.Record) error) error {
	for n, r := range records {
		err := show(r)
		if err == nil {
			continue
		}
		if n > 0 {
			i.pending = append(slices.Clone(records[n:]), i.pending...)
			i.delivered(records[:n])
			return nil
		}
		i.pending = append(slices.Clone(records[1:]), i.pending...)
		i.delivered(records[:1])
		return err
	}
	i.delivered(records)
	return nil
}

// fit moves pending records into an answer. Full says that the next does not fit.
func (i *Instance) fit(out []*kgo.Record, size, limit int) (_ []*kgo.Record, _ int, full bool) {
	for n, r := range i.pending {
		s := len(r.Key) + len(r.Value)
		if len(out) > 0 && size+s > limit {
			i.pending = i.pending[n:]
			return out, size, true
		}
		out, size = append(out, r), size+s
	}
	i.pending = nil
	return out, size, false
}

func (i *Instance) delivered(records []*kgo.Record) {
	for _, r := range records {
		i.read[Partition{r.Topic, r.Partition}] = Offset{At: r.Offset + 1, Epoch: r.LeaderEpoch}
	}
	if i.config.AutoCommit && len(i.manual) == 0 {
		i.client.MarkCommitRecords(records...)
	}
}

// serious returns the error of a poll that the client has to know; what heals itself is left out.
func serious(fetches kgo.Fetches) error {
	var err error
	fetches.EachError(func(topic string, partition int32, e error) {
		if errors.Is(e, context.DeadlineExceeded) || errors.Is(e, context.Canceled) {
			return
		}
		if k, ok := errors.AsType[*kerr.Error](e); ok && k.Retriable {
			return
		}
		if _, ok := errors.AsType[*kgo.ErrDataLoss](e); ok || err != nil {
			return
		}
		err = fmt.Errorf("read %s-%d: %w", topic, partition, e)
	})
	return err
}

// Commit commits offsets of the next records to read, or, given none, all that was delivered. It returns what was committed.
func (i *Instance) Commit(ctx context.Context, offsets map[Partition]Offset) (map[Partition]Offset, error) {
	done, err := i.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if i.client == nil {
		if len(offsets) == 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("%w: Consumer is not subscribed to any topics or assigned any partitions", ErrIllegalState)
	}
	if len(offsets) == 0 {
		offsets = maps.Clone(i.read)
	}
	if len(offsets) == 0 {
		return offsets, nil
	}
	if len(i.manual) > 0 {
		err = i.commitAlone(ctx, offsets)
	} else {
		err = i.commitAsMember(ctx, offsets)
	}
	if err != nil {
		return nil, err
	}
	for p := range offsets {
		delete(i.read, p)
	}
	return offsets, nil
}

func (i *Instance) commitAlone(ctx context.Context, offsets map[Partition]Offset) error {
	all := kadm.Offsets{}
	for p, o := range offsets {
		all.Add(kadm.Offset{Topic: p.Topic, Partition: p.Partition, At: o.At, LeaderEpoch: -1, Metadata: o.Metadata})
	}
	if err := kadm.NewClient(i.client).CommitAllOffsets(ctx, i.key.group, all); err != nil {
		return fmt.Errorf("commit for group %s: %w", i.key.group, err)
	}
	return nil
}

func (i *Instance) commitAsMember(ctx context.Context, offsets map[Partition]Offset) error {
	plain := true
	all := map[string]map[int32]kgo.EpochOffset{}
	for p, o := range offsets {
		if all[p.Topic] == nil {
			all[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		all[p.Topic][p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: o.At}
		plain = plain && o.Metadata == ""
	}
	if !plain {
		ctx = kgo.PreCommitFnContext(ctx, withMetadata(offsets))
	}
	var failed error
	committed := make(chan struct{})
	i.client.CommitOffsetsSync(ctx, all, func(_ *kgo.Client, _ *kmsgCommitRequest, res *kmsgCommitResponse, err error) {
		defer close(committed)
		failed = commitError(i.key.group, res, err)
	})
	<-committed
	return failed
}

// Committed returns what the group has committed of partitions; those without a commit are not in it.
func (i *Instance) Committed(ctx context.Context, partitions []Partition) (map[Partition]Offset, error) {
	done, err := i.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	client := i.client
	if client == nil {
		if client, err = i.dial(kgo.DisableClientMetrics()); err != nil {
			return nil, err
		}
		defer client.Close()
	}
	return committedOf(ctx, client, i.key.group, partitions)
}

// Seek sets the next offsets to read, of partitions that the instance reads.
func (i *Instance) Seek(ctx context.Context, offsets map[Partition]int64) error {
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return i.seek(offsets)
}

func (i *Instance) seek(offsets map[Partition]int64) error {
	var partitions []Partition
	for p := range offsets {
		partitions = append(partitions, p)
	}
	if err := i.requireAssigned(partitions); err != nil {
		return err
	}
	if i.client == nil {
		return fmt.Errorf("%w: Consumer is not subscribed to any topics or assigned any partitions", ErrIllegalState)
	}
	set := map[string]map[int32]kgo.EpochOffset{}
	for p, at := range offsets {
		if set[p.Topic] == nil {
			set[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		set[p.Topic][p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: at}
	}
	var keep []*kgo.Record
	for _, r := range i.pending {
		if _, moved := offsets[Partition{r.Topic, r.Partition}]; !moved {
			keep = append(keep, r)
		}
	}
	i.pending = keep
	i.client.SetOffsets(set)
	return nil
}

// SeekTo sets partitions to their begin or their end, or, if at is positive, to the first record with that time in milliseconds since
// 1970.
func (i *Instance) SeekTo(ctx context.Context, partitions []Partition, to Place, millis int64) error {
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := i.requireAssigned(partitions); err != nil {
		return err
	}
	if i.client == nil {
		return fmt.Errorf("%w: Consumer is not subscribed to any topics or assigned any partitions", ErrIllegalState)
	}
	var topics []string
	for _, p := range partitions {
		topics = append(topics, p.Topic)
	}
	adm := kadm.NewClient(i.client)
	var listed kadm.ListedOffsets
	switch to {
	case Begin:
		listed, err = adm.ListStartOffsets(ctx, topics...)
	case End:
		listed, err = adm.ListEndOffsets(ctx, topics...)
	case Time:
		listed, err = adm.ListOffsetsAfterMilli(ctx, millis, topics...)
	}
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	offsets := map[Partition]int64{}
	for _, p := range partitions {
		o, ok := listed.Lookup(p.Topic, p.Partition)
		if !ok {
			return fmt.Errorf("partition %s-%d: %w", p.Topic, p.Partition, kerr.UnknownTopicOrPartition)
		}
		if o.Err != nil {
			return fmt.Errorf("partition %s-%d: %w", p.Topic, p.Partition, o.Err)
		}
		offsets[p] = o.Offset
	}
	return i.seek(offsets)
}

// Place is where SeekTo goes.
type Place uint8

// The places.
const (
	Begin Place = iota
	End
	Time
)
