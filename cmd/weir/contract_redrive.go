package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/text"
	"github.com/weir-stream/weir/internal/kafka/terms"
)

type redriveOptions struct {
	from string
	yes  bool
	all  bool
}

// redriveResult is what 'contract redrive' did, or would do.
type redriveResult struct {
	Topic       string         `json:"topic"`
	DeadLetters string         `json:"dead_letters"`
	Records     int            `json:"records"` // of the topic
	Others      int            `json:"others"`  // of other topics, left alone
	Reasons     map[string]int `json:"reasons"` // for which they became dead letters
	Sent        int            `json:"sent"`    // accepted by the topic
	Refused     int            `json:"refused"` // by its contract, again
	Done        bool           `json:"done"`    // false: only shown
	FirstError  string         `json:"error,omitempty"`
}

func newContractRedriveCommand(s *session) *cobra.Command {
	var o redriveOptions
	cmd := &cobra.Command{
		Use:   "redrive TOPIC",
		Short: "Send a topic's dead letters back to it, once what was wrong is mended",
		Long: `Read the dead letters of a topic and send them to it again, to the partition that they were meant for, as they were: without the headers
that the broker added. Without --yes nothing is sent: what would be is counted.

What was sent is remembered in the consumer group weir.contract.redrive.TOPIC, so the next redrive goes on behind it; --all begins at the first
again. Dead letters stay where they are until their retention. One that still breaks the contract becomes a dead letter anew, at the end,
in mode dlq, and is counted as refused in mode reject. If the command is interrupted some may be sent twice.`,
		Example: `  weir contract redrive orders
  weir contract redrive orders --yes`,
		Args:              args(1, 1),
		ValidArgsFunction: s.completeTopics(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := redrive(cmd.Context(), s, args[0], o)
			if err != nil {
				return err
			}
			return s.printDocument(r, func(w io.Writer, _ bool) error {
				_, err := fmt.Fprint(w, r.text())
				return err
			})
		},
	}
	s.addOutput(cmd)
	cmd.Flags().StringVar(&o.from, "from", "", "`topic` with the dead letters (default: the one that the topic's configs name)")
	cmd.Flags().BoolVar(&o.all, "all", false, "begin with the first dead letter, not behind those that were sent before")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do it")
	return cmd
}

func (r *redriveResult) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s holds %s of %s\n", r.DeadLetters, plural(int64(r.Records), "new dead letter"), r.Topic)
	for _, reason := range slices.Sorted(maps.Keys(r.Reasons)) {
		fmt.Fprintf(&b, "  %-14s %d\n", text.Safe(reason), r.Reasons[reason])
	}
	switch {
	case r.Done:
		fmt.Fprintf(&b, "%d sent, %d refused\n", r.Sent, r.Refused)
	case r.Records > 0:
		fmt.Fprintf(&b, "nothing was sent: do it with --yes\n")
	}
	return b.String()
}

func redrive(ctx context.Context, s *session, topic string, o redriveOptions) (*redriveResult, error) {
	cl, err := s.connect(ctx, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	details, err := topicDetails(ctx, adm, []string{topic})
	if err != nil {
		return nil, err
	}
	t, err := topicTerms(ctx, adm, topic)
	if err != nil {
		return nil, err
	}
	r := &redriveResult{Topic: topic, DeadLetters: t.DeadLetters, Reasons: map[string]int{}, Done: o.yes}
	if o.from != "" {
		r.DeadLetters = o.from
	}
	d := &redriving{s: s, result: r, target: cl, adm: adm, partitions: len(details[topic].Partitions), group: "weir.contract.redrive." + topic}
	return r, d.run(ctx, o)
}

// redriving is one run of 'contract redrive'.
type redriving struct {
	s          *session
	result     *redriveResult
	target     *kgo.Client
	adm        *kadm.Client
	partitions int // of the topic
	group      string
	until      map[int32]int64
	passed     kadm.Offsets // behind what was dealt with
}

func (d *redriving) run(ctx context.Context, o redriveOptions) error {
	from, err := d.plan(ctx, o.all)
	if err != nil || len(from) == 0 {
		return err
	}
	cl, err := d.s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{d.result.DeadLetters: from}), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	for len(d.until) > 0 {
		quiet, cancel := context.WithTimeout(ctx, quietTest)
		fetches := cl.PollFetches(quiet)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fetches.NumRecords() == 0 {
			break // what is left at the end is no record
		}
		var batch []*kgo.Record
		fetches.EachRecord(func(r *kgo.Record) {
			if back := d.take(r); back != nil {
				batch = append(batch, back)
			}
		})
		if !o.yes {
			continue
		}
		if err := d.send(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// plan finds the first offset of each partition that is to be read, and where to end.
func (d *redriving) plan(ctx context.Context, all bool) (map[int32]kgo.Offset, error) {
	within, err := topicBounds(ctx, d.adm, d.result.DeadLetters, nil, true)
	if err != nil {
		return nil, withFix(err, "without that topic there are no dead letters; name another with --from")
	}
	before := kadm.OffsetResponses{}
	if !all {
		if before, err = committedOffsets(ctx, d.adm, d.group); err != nil {
			return nil, err
		}
	}
	from := map[int32]kgo.Offset{}
	d.until, d.passed = map[int32]int64{}, kadm.Offsets{}
	for p, b := range within {
		start := b.start
		if c, ok := before.Lookup(d.result.DeadLetters, p); ok && c.Err == nil {
			start = max(start, c.At)
		}
		if start < b.end {
			from[p], d.until[p] = kgo.NewOffset().At(start), b.end
		}
	}
	return from, nil
}

// take counts a dead letter and returns it as it was first sent; nil for what is not to be sent.
func (d *redriving) take(r *kgo.Record) *kgo.Record {
	end, open := d.until[r.Partition]
	if !open || r.Offset >= end {
		return nil
	}
	if r.Offset+1 >= end {
		delete(d.until, r.Partition)
	}
	d.passed.AddOffset(r.Topic, r.Partition, r.Offset+1, -1)
	if r.Attrs.IsControl() {
		return nil
	}
	back := &kgo.Record{Topic: d.result.Topic, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
	from, reason := "", ""
	for _, h := range r.Headers {
		switch h.Key { // the last of a name is the broker's
		case terms.HeaderTopic:
			from = string(h.Value)
		case terms.HeaderReason:
			reason = string(h.Value)
		case terms.HeaderPartition:
			if n, err := strconv.ParseInt(string(h.Value), 10, 32); err == nil && n >= 0 && int(n) < d.partitions {
				back.Partition = int32(n)
			}
		}
		if !strings.HasPrefix(h.Key, terms.HeaderPrefix) {
			back.Headers = append(back.Headers, h)
		}
	}
	if from != d.result.Topic {
		d.result.Others++
		return nil
	}
	d.result.Records++
	d.result.Reasons[reason]++
	return back
}

// send sends dead letters back and then notes how far it has come. Those that are refused are passed over.
func (d *redriving) send(ctx context.Context, batch []*kgo.Record) error {
	for _, r := range d.target.ProduceSync(ctx, batch...) {
		switch {
		case r.Err == nil:
			d.result.Sent++
		case !errors.Is(r.Err, kerr.InvalidRecord):
			return fmt.Errorf("send a dead letter to %s: %w", d.result.Topic, r.Err)
		default:
			d.result.Refused++
			if d.result.FirstError == "" {
				d.result.FirstError = r.Err.Error()
			}
		}
	}
	if err := d.adm.CommitAllOffsets(ctx, d.group, d.passed); err != nil {
		return fmt.Errorf("note how far the redrive has come, in group %s: %w", d.group, err)
	}
	return nil
}
