package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/position"
	"github.com/weir-stream/weir/internal/cli/recordformat"
	"github.com/weir-stream/weir/internal/cli/typed"
)

// quietEnd is how long a bounded read waits for the last offsets of a partition when nothing comes: they may be gone
// by compaction, which no client can see.
const quietEnd = 10 * time.Second

type consumeOptions struct {
	format, group, offset, since, until string
	count                               int64
	untilEnd, committed                 bool
	partitions                          []int32
	match                               string
	raw                                 bool
	key, value                          partOptions
}

func newTopicConsumeCommand(s *session) *cobra.Command {
	var o consumeOptions
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Read records",
		Long: `Read records, from the beginning unless -o says otherwise, and go on with new ones until Ctrl-C, -n or --until-end.

-o takes earliest, latest, an offset, +N after the start, -N before the end, @time, or a range FROM:TO of these. Times are
2026-01-02T15:04:05Z or a part of it, unix seconds or milliseconds, or a duration before now: @10m, @7d.

-f prints each record in a form that users of kcat and rpk know:
  %t topic   %p partition   %o offset   %e leader epoch   %k key   %v or %s value   %K %V their lengths   %S as %V, -1 for null
  %T time in ms   %d{strftime[%F %T]} or %d{go[15:04:05]} time   %h headers k=v,...   %h{%k=%v } in a form   %H their number
  %i count   %x %y producer id and epoch   %a{compression}   %[ %| %] start, last stable offset, high watermark
  after a text verb {hex} {base64} {unpack[>iq]}, after a number {hex} {big32} {little64} {byte}; %% %{ %} \n \t \xNN
Without it, a terminal shows a line for each record, and a pipe gets NDJSON: topic, partition, offset, timestamp, key, value,
headers, and key_base64 or value_base64 where bytes are no text.

Keys and values that show the id of a schema are printed as the JSON that they stand for, if a Schema Registry knows the id: the one of
--schema-registry, or else at port 8081 of the broker's host. In NDJSON they are JSON of their own, with the id beside them, and 'topic
produce --input ndjson' encodes them again. --raw shows the bytes as they are; to copy a topic byte by byte, use it. Records of
__consumer_offsets, __transaction_state and __share_group_state are printed as the JSON that Kafka's own tools make of them. With
--value-format avro, protobuf or json-schema what cannot be decoded is an error, and --value-schema reads bytes that show no id.

With --group, partitions are shared with the group's members and offsets are committed after records were printed.`,
		Example: `  weir topic consume orders                              everything, then what comes
  weir topic consume orders -o -5 --until-end            the last five of each partition
  weir topic consume orders --since 10m --until now      a stretch of time
  weir topic consume orders -f '%p@%o %k %v\n' -n 10
  weir topic consume orders --match 'status=failed'      key, value or a header key=value matches
  weir topic consume orders --group billing
  weir topic consume orders --until-end | jq -r .value`,
		Args:              args(1, -1),
		ValidArgsFunction: s.completeTopics(-1),
		RunE:              func(cmd *cobra.Command, args []string) error { return consumeTopics(cmd.Context(), s, o, args) },
	}
	f := cmd.Flags()
	f.VarP(&s.output, "output", "", outputHelp)
	f.StringVarP(&o.format, "format", "f", "", `form of a line, such as '%k %v\n'`)
	f.StringVarP(&o.offset, "offset", "o", "earliest", "`position` or range to read from: earliest, latest, N, +N, -N, @time, FROM:TO")
	f.StringVar(&o.since, "since", "", "read from this `time` on: 10m (ago), 2026-01-02, ...")
	f.StringVar(&o.until, "until", "", "stop at this `time`; now stops at what is there")
	f.BoolVarP(&o.untilEnd, "until-end", "e", false, "stop at the end of what is there now")
	f.Int64VarP(&o.count, "num", "n", 0, "stop after this many records (0: no limit)")
	f.Int32SliceVarP(&o.partitions, "partition", "p", nil, "only these partitions (default all)")
	f.StringVarP(&o.group, "group", "g", "", "read as a member of this group and commit")
	f.BoolVar(&o.committed, "read-committed", false, "leave out records of open and aborted transactions")
	f.StringVar(&o.match, "match", "", "only records whose key, value or header k=v matches this `regex`")
	f.BoolVar(&o.raw, "raw", false, "show keys and values as they are, whatever schema they have")
	o.value.addFlags(cmd, "value", consuming)
	o.key.addFlags(cmd, "key", consuming)
	s.addRegistry(cmd)
	completeFrom(cmd, "offset", "earliest", "latest")
	completeFrom(cmd, "output", outputFormats...)
	return cmd
}

func consumeTopics(ctx context.Context, s *session, o consumeOptions, topics []string) error {
	span, err := o.span(s.now())
	if err != nil {
		return err
	}
	if o.group != "" && len(o.partitions) > 0 {
		return usageErrorf("--group shares partitions among members: it excludes --partition")
	}
	out, err := newRecordPrinter(s, o.format)
	if err != nil {
		return err
	}
	decoders, err := s.decoders(ctx, &o)
	if err != nil {
		return err
	}
	r := &reading{s: s, o: o, decoders: decoders, print: out, out: bufio.NewWriterSize(s.out, 64<<10), next: map[topicPartition]int64{}, until: map[topicPartition]int64{}}
	if o.match != "" {
		if r.match, err = regexp.Compile(o.match); err != nil {
			return usageErrorf("--match: %v", err)
		}
	}
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	for _, topic := range topics {
		if err = r.plan(ctx, adm, topic, span); err != nil {
			break
		}
	}
	done()
	if err != nil {
		return err
	}
	r.bounded = span.HasTo
	if r.finished() {
		return nil
	}
	var opts []kgo.Opt
	if o.group != "" {
		opts = r.groupOptions(topics, span)
	} else {
		opts = r.directOptions()
	}
	if o.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	cl, err := s.client(append(opts, kgo.KeepControlRecords(), kgo.FetchMaxWait(500*time.Millisecond))...)
	if err != nil {
		return err
	}
	// A plain Close would wait for ever for a poll that holds back a rebalance.
	defer cl.CloseAllowingRebalance()
	return r.run(ctx, cl)
}

// span combines -o, --since, --until and --until-end into one range.
func (o *consumeOptions) span(now time.Time) (position.Range, error) {
	span, err := position.ParseRange(o.offset, now)
	if err != nil {
		return span, usageErrorf("-o: %v", err)
	}
	if o.since != "" {
		t, err := position.ParseTime(o.since, now)
		if err != nil {
			return span, usageErrorf("--since: %v", err)
		}
		span.From = position.Point{Kind: position.Time, Value: t.UnixMilli()}
	}
	switch {
	case o.until == "now" || o.untilEnd:
		span.To, span.HasTo = position.Point{Kind: position.Latest}, true
	case o.until != "":
		t, err := position.ParseTime(o.until, now)
		if err != nil {
			return span, usageErrorf("--until: %v", err)
		}
		if t.After(now) {
			return span, usageErrorf("--until %s lies in the future: read with -n or without an end", o.until)
		}
		span.To, span.HasTo = position.Point{Kind: position.Time, Value: t.UnixMilli()}, true
	}
	return span, nil
}

type topicPartition struct {
	topic     string
	partition int32
}

// reading is one run of 'topic consume'. It is used by one goroutine.
type reading struct {
	s     *session
	o     consumeOptions
	print recordPrinter
	match *regexp.Regexp
	out   *bufio.Writer
	// decoders are for values and keys; none if bytes are shown as they are.
	decoders []*typed.Decoder

	bounded bool
	next    map[topicPartition]int64 // the offset to read next
	until   map[topicPartition]int64 // if bounded: partitions that are not finished, and where they will be
	printed int64
	line    []byte
}

// plan finds where to read a topic from and, if the range has an end, to.
func (r *reading) plan(ctx context.Context, adm *kadm.Client, topic string, span position.Range) error {
	within, err := topicBounds(ctx, adm, topic, r.o.partitions, r.o.committed)
	if err != nil {
		return err
	}
	from, err := resolvePoint(ctx, adm, topic, within, span.From)
	if err != nil {
		return err
	}
	if r.o.group != "" {
		committed, err := committedOffsets(ctx, adm, r.o.group)
		if err != nil {
			return err
		}
		for p := range from {
			if c, ok := committed.Lookup(topic, p); ok && c.Err == nil && c.At >= 0 {
				from[p] = c.At
			}
		}
	}
	to := map[int32]int64{}
	if span.HasTo {
		if to, err = resolvePoint(ctx, adm, topic, within, span.To); err != nil {
			return err
		}
	}
	for p, offset := range from {
		tp := topicPartition{topic, p}
		r.next[tp] = offset
		if span.HasTo && offset < to[p] {
			r.until[tp] = to[p]
		}
	}
	return nil
}

func (r *reading) directOptions() []kgo.Opt {
	assign := map[string]map[int32]kgo.Offset{}
	for tp, offset := range r.next {
		if _, open := r.until[tp]; r.bounded && !open {
			continue
		}
		if assign[tp.topic] == nil {
			assign[tp.topic] = map[int32]kgo.Offset{}
		}
		assign[tp.topic][tp.partition] = kgo.NewOffset().At(offset)
	}
	return []kgo.Opt{kgo.ConsumePartitions(assign)}
}

func (r *reading) groupOptions(topics []string, span position.Range) []kgo.Opt {
	reset := kgo.NewOffset()
	switch p := span.From; p.Kind {
	case position.Earliest:
		reset = reset.AtStart()
	case position.Latest:
		reset = reset.AtEnd()
	case position.Offset:
		reset = reset.At(p.Value)
	case position.FromStart:
		reset = reset.AtStart().Relative(p.Value)
	case position.FromEnd:
		reset = reset.AtEnd().Relative(-p.Value)
	case position.Time:
		reset = reset.AfterMilli(p.Value)
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(r.o.group), kgo.ConsumeTopics(topics...), kgo.ConsumeStartOffset(reset), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll(),
	}
}

func (r *reading) finished() bool { return r.bounded && len(r.until) == 0 }

// run reads until the range ends, the count is reached, or ctx ends, which is how a person stops it.
func (r *reading) run(ctx context.Context, cl *kgo.Client) error {
	lastRecord := time.Now()
	for !r.finished() && !r.full() {
		pollCtx, cancel := context.WithTimeout(ctx, quietEnd)
		fetches := cl.PollRecords(pollCtx, r.pollLimit())
		cancel()
		if ctx.Err() != nil {
			break
		}
		if err := r.fetchError(fetches); err != nil {
			return errors.Join(err, r.out.Flush())
		}
		if fetches.NumRecords() > 0 {
			lastRecord = time.Now()
		} else if r.bounded && time.Since(lastRecord) >= quietEnd {
			r.s.progressf("nothing came for %s before the end of %d partitions: their last records may be gone by compaction", quietEnd, len(r.until))
			break
		}
		if err := r.take(ctx, cl, fetches); err != nil {
			return errors.Join(err, r.out.Flush())
		}
		if r.o.group != "" {
			cl.AllowRebalance()
		}
	}
	if err := r.out.Flush(); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	if r.o.group != "" {
		// The context may have ended already, by Ctrl-C; what was printed is to be committed all the same.
		commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), firstAnswer)
		defer cancel()
		if err := cl.CommitMarkedOffsets(commitCtx); err != nil {
			return fmt.Errorf("commit offsets of group %s: %w", r.o.group, err)
		}
	}
	return nil
}

func (r *reading) full() bool { return r.o.count > 0 && r.printed >= r.o.count }

func (r *reading) pollLimit() int {
	if r.o.count > 0 && r.match == nil {
		return int(min(r.o.count-r.printed, 10_000))
	}
	return 10_000
}

// fetchError returns an error that ends the reading; others pass by themselves.
func (r *reading) fetchError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) || kerr.IsRetriable(e.Err) {
			continue
		}
		if _, lost := errors.AsType[*kgo.ErrDataLoss](e.Err); lost {
			r.s.progressf("%v", e.Err)
			continue
		}
		return fmt.Errorf("read %s-%d: %w", e.Topic, e.Partition, e.Err)
	}
	return nil
}

// take prints what was fetched and marks it for commit.
func (r *reading) take(ctx context.Context, cl *kgo.Client, fetches kgo.Fetches) error {
	var failed error
	var marks []*kgo.Record
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		tp := topicPartition{p.Topic, p.Partition}
		for _, rec := range p.Records {
			end, open := r.until[tp]
			if r.full() || failed != nil || r.bounded && !open {
				break
			}
			if !r.bounded || rec.Offset < end {
				if failed = r.one(ctx, &p.FetchPartition, rec); failed != nil {
					break
				}
				marks = append(marks, rec)
			}
			r.next[tp] = rec.Offset + 1
			if r.bounded && r.next[tp] >= end {
				delete(r.until, tp)
				cl.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition}})
			}
		}
	})
	if failed == nil {
		if err := r.out.Flush(); err != nil {
			failed = fmt.Errorf("write records: %w", err)
		}
	}
	if failed == nil && r.o.group != "" {
		cl.MarkCommitRecords(marks...)
	}
	return failed
}

// one prints a record, unless it is a marker of a transaction or does not match.
func (r *reading) one(ctx context.Context, p *kgo.FetchPartition, rec *kgo.Record) error {
	if rec.Attrs.IsControl() {
		return nil
	}
	shown, by, internal := rec, recordformat.Typed{}, false
	if !r.o.raw {
		shown, by, internal = internalDocument(rec)
	}
	var err error
	if !internal {
		shown, by, err = decoded(ctx, r.decoders, rec)
	}
	if err != nil {
		return withFix(fmt.Errorf("%s-%d at offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err), "--raw shows the bytes as they are; --schema-registry names another registry")
	}
	if r.match != nil && !r.matches(shown) {
		return nil
	}
	if r.line, err = r.print(r.line[:0], p, shown, by); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	r.printed++
	if _, err = r.out.Write(r.line); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return nil
}

func (r *reading) matches(rec *kgo.Record) bool {
	if r.match.Match(rec.Value) || r.match.Match(rec.Key) {
		return true
	}
	for _, h := range rec.Headers {
		if r.match.MatchString(strings.Join([]string{h.Key, string(h.Value)}, "=")) {
			return true
		}
	}
	return false
}
