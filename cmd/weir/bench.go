package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/load"
	"github.com/weir-stream/weir/internal/cli/text"
)

// benchOptions are the flags of 'weir bench'.
type benchOptions struct {
	load                    load.Options
	payload                 string
	partitions              int32
	replicas                int16
	codec, acks             string
	linger                  time.Duration
	batchBytes, bufferBytes int
	deleteTopic             bool
}

// benchResult is the one JSON line of a run.
type benchResult struct {
	Mode        string  `json:"mode"`
	Topic       string  `json:"topic"`
	Partitions  int32   `json:"partitions"`
	RecordBytes int     `json:"record_bytes,omitempty"`
	Acks        string  `json:"acks,omitempty"`
	Compression string  `json:"compression,omitempty"`
	LingerMs    float64 `json:"linger_ms"`
	Clients     int     `json:"clients"`
	Rate        float64 `json:"rate,omitempty"`
	load.Result
}

func newBenchCommand(s *session) *cobra.Command {
	return newNoun("bench", "Measure a broker's throughput and latency",
		`Put load on a broker and measure throughput and the distribution of latencies.

With --rate the load is an open loop: latency counts from the time at which a record was due, so that a stall shows in every
record that waited. Without it, latency is mostly the queue in the client. The topic is made if it does not exist.`,
		`  weir bench produce --seconds 30
  weir bench produce --rate 5000 --record-bytes 100      latency at a fixed rate
  weir bench consume --topic weir-bench
  weir bench e2e --rate 1000 -o json`,
		newBenchVerb(s, "produce", "Write as fast as it goes, or at a rate", "Write records and measure throughput and the latency of acknowledgements.",
			"  weir bench produce --seconds 30 --compression lz4 --payload text\n  weir bench produce --rate 5000 --warmup 5s"),
		newBenchVerb(s, "consume", "Read what a topic holds", "Read what a topic holds from its start, and measure throughput and the time to the first record.",
			"  weir bench consume --clients 3\n  weir bench consume --topic orders --seconds 60"),
		newBenchVerb(s, "e2e", "Write at a rate and read: latency from end to end", "Write at a fixed rate, read at the same time, and measure the latency from the time a record was due until a consumer has it.",
			"  weir bench e2e --rate 1000 --seconds 20\n  weir bench e2e --rate 20000 --record-bytes 100 -o json"))
}

func newBenchVerb(s *session, mode, short, long, example string) *cobra.Command {
	var o benchOptions
	var seconds float64
	cmd := &cobra.Command{
		Use: mode, Short: short, Long: long, Example: example,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.load.Duration = time.Duration(seconds * float64(time.Second))
			o.load.Payload = load.Payload(o.payload)
			return bench(cmd.Context(), s, mode, o)
		},
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&o.load.Topic, "topic", "weir-bench", "topic to use")
	f.Float64Var(&seconds, "seconds", 10, "how long to measure")
	f.Int64Var(&o.load.Records, "records", 0, "stop after this many records (0: by time)")
	f.IntVar(&o.load.Clients, "clients", 1, "clients, each with its own connections")
	if mode == "consume" {
		return cmd
	}
	f.Int32Var(&o.partitions, "partitions", 6, "partitions of the topic, if it is made")
	f.Int16Var(&o.replicas, "replicas", -1, "replication factor of the topic, if it is made (-1: the broker's default)")
	f.BoolVar(&o.deleteTopic, "delete-topic", false, "delete the topic afterwards, if this run made it")
	f.IntVar(&o.load.RecordBytes, "record-bytes", 1024, "bytes of each value")
	f.Float64Var(&o.load.Rate, "rate", 0, "records a second (0: no limit; e2e: 1000)")
	f.DurationVar(&o.load.Warmup, "warmup", 0, "time before the measured time, not counted")
	f.IntVar(&o.load.Keys, "keys", 0, "number of distinct keys (0: no keys)")
	f.StringVar(&o.payload, "payload", string(load.Letters), "what values consist of: letters, text (compressible) or random bytes")
	f.StringVarP(&o.codec, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	f.StringVar(&o.acks, "acks", "all", "all, 1 or 0")
	f.DurationVar(&o.linger, "linger", 5*time.Millisecond, "how long a batch waits to be filled")
	f.IntVar(&o.batchBytes, "batch-bytes", 64<<10, "largest batch of a partition")
	f.IntVar(&o.bufferBytes, "buffer-bytes", 32<<20, "largest amount of unacknowledged data of a client")
	if mode == "e2e" {
		f.Lookup("linger").DefValue, o.linger = "0s", 0
	}
	completeFrom(cmd, "compression", codecNames...)
	completeFrom(cmd, "acks", "all", "1", "0")
	completeFrom(cmd, "payload", load.Payloads...)
	return cmd
}

func (o *benchOptions) check(mode string) error {
	switch {
	case o.load.Duration <= 0:
		return usageErrorf("--seconds must be above 0")
	case o.load.Clients < 1 || o.load.Clients > 1000:
		return usageErrorf("--clients must lie between 1 and 1000")
	case mode == "consume":
		return nil
	case o.load.RecordBytes < 1 || o.load.RecordBytes > 64<<20:
		return usageErrorf("--record-bytes must lie between 1 and %d", 64<<20)
	case o.load.Rate < 0 || o.load.Records < 0 || o.load.Keys < 0 || o.load.Warmup < 0 || o.linger < 0:
		return usageErrorf("--rate, --records, --keys, --warmup and --linger must not be negative")
	case o.batchBytes < 1<<10 || o.bufferBytes < o.batchBytes:
		return usageErrorf("--batch-bytes must be 1024 at least, and --buffer-bytes no less than it")
	case !slices.Contains(load.Payloads, o.payload):
		return usageErrorf("--payload %q is none of %s", o.payload, strings.Join(load.Payloads, ", "))
	}
	return nil
}

func bench(ctx context.Context, s *session, mode string, o benchOptions) error {
	if err := o.check(mode); err != nil {
		return err
	}
	var opts []kgo.Opt
	if mode != "consume" {
		var err error
		if opts, err = s.writeOptions(o.codec, o.acks); err != nil {
			return err
		}
		opts = append(opts, kgo.ProducerLinger(o.linger), kgo.ProducerBatchMaxBytes(int32(max(o.batchBytes, o.load.RecordBytes+1024))),
			kgo.MaxBufferedBytes(o.bufferBytes), kgo.MaxBufferedRecords(1<<30), kgo.RecordDeliveryTimeout(time.Minute))
	}
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	made, err := o.prepareTopic(ctx, adm, mode)
	if err != nil {
		return err
	}
	details, err := topicDetails(ctx, adm, []string{o.load.Topic})
	if err != nil {
		return err
	}
	run := load.New(o.load, func(more ...kgo.Opt) (*kgo.Client, error) { return s.client(append(slices.Clone(opts), more...)...) })
	verbs := map[string]func(context.Context) (load.Result, error){"produce": run.Produce, "consume": run.Consume, "e2e": run.EndToEnd}
	stop := s.showProgress(ctx, run, o.load.Warmup+o.load.Duration)
	measured, err := verbs[mode](ctx)
	stop()
	if made && o.deleteTopic {
		if _, deleteErr := adm.DeleteTopic(context.WithoutCancel(ctx), o.load.Topic); deleteErr != nil {
			err = errors.Join(err, fmt.Errorf("delete topic %s: %w", o.load.Topic, deleteErr))
		}
	}
	if measured.Seconds > 0 {
		res := benchResult{
			Mode: mode, Topic: o.load.Topic, Partitions: int32(len(details[o.load.Topic].Partitions)), RecordBytes: o.load.RecordBytes, Acks: o.acks,
			Compression: o.codec, LingerMs: float64(o.linger.Microseconds()) / 1000, Clients: o.load.Clients, Rate: o.load.Rate, Result: measured,
		}
		err = errors.Join(err, s.printBench(&res))
	}
	return err
}

// printBench writes a result. Even -o json is one line, so that results of several runs make one NDJSON file.
func (s *session) printBench(res *benchResult) error {
	if s.format() == "json" {
		return writeNDJSON(s.out, res)
	}
	return s.printDocument(res, res.write)
}

// prepareTopic makes the topic to write to, unless it is there already.
func (o *benchOptions) prepareTopic(ctx context.Context, adm *kadm.Client, mode string) (made bool, err error) {
	if mode == "consume" {
		return false, nil
	}
	a, err := adm.CreateTopic(ctx, o.partitions, o.replicas, nil, o.load.Topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("create topic %s: %w", o.load.Topic, brokerError(err, a.ErrMessage))
	}
	return true, nil
}

// progressInterval is the pause between two reports of a run's progress.
const progressInterval = time.Second

// showProgress reports on standard error until stop is called: on one line of a terminal, else on a line each.
func (s *session) showProgress(ctx context.Context, run *load.Run, total time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		start, before := time.Now(), run.Snapshot()
		for {
			select {
			case <-ctx.Done():
				if s.errTerminal {
					fmt.Fprint(s.errOut, "\r\x1b[K")
				}
				return
			case <-tick.C:
			}
			now := run.Snapshot()
			line := progressLine(time.Since(start), total, before, now)
			before = now
			if s.errTerminal {
				fmt.Fprint(s.errOut, "\r"+line+"\x1b[K")
			} else {
				fmt.Fprintln(s.errOut, line)
			}
		}
	}()
	return func() { cancel(); <-ended }
}

func progressLine(elapsed, total time.Duration, before, now load.Snapshot) string {
	const cells = 20
	full := min(cells, int(float64(cells)*elapsed.Seconds()/max(total.Seconds(), 1e-9)))
	line := fmt.Sprintf("%s%s %4.0f s  %11s rec/s  %8.1f MB/s", strings.Repeat("█", full), strings.Repeat("░", cells-full), elapsed.Seconds(),
		text.Count(now.Records-before.Records), float64(now.Bytes-before.Bytes)/1e6)
	if now.P99 > 0 {
		line += fmt.Sprintf("  p50 %s  p99 %s", text.Duration(now.P50), text.Duration(now.P99))
	}
	if now.Errors > 0 {
		line += fmt.Sprintf("  %s", plural(now.Errors, "error"))
	}
	return line
}

func (r *benchResult) write(w io.Writer, _ bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  topic %s, %s, %s\n", r.Mode, text.Safe(r.Topic), plural(int64(r.Partitions), "partition"), plural(int64(r.Clients), "client"))
	if r.Mode != "consume" {
		fmt.Fprintf(&b, "         %s records, acks %s, compression %s, linger %g ms", text.Bytes(int64(r.RecordBytes)), r.Acks, r.Compression, r.LingerMs)
		if r.Rate > 0 {
			fmt.Fprintf(&b, ", %s rec/s asked for", text.Count(int64(r.Rate)))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\n  %14s  rec/s\n  %14.1f  MB/s\n  %14s  records in %s", text.Count(int64(r.PerSecond)), r.MBPerSecond, text.Count(r.Records), text.Duration(time.Duration(r.Seconds*float64(time.Second))))
	if r.Errors > 0 {
		fmt.Fprintf(&b, ", %s", plural(r.Errors, "error"))
	}
	b.WriteByte('\n')
	if r.FirstMs > 0 {
		fmt.Fprintf(&b, "  %14s  to the first record\n", text.Duration(time.Duration(r.FirstMs*float64(time.Millisecond))))
	}
	writeLatency(&b, "latency", r.Latency)
	writeLatency(&b, "acknowledged", r.Ack)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeLatency(b *strings.Builder, what string, l *load.Latency) {
	if l == nil {
		return
	}
	fmt.Fprintf(b, "\n  %-12s %9s %9s %9s %9s %9s %9s\n  %-12s", "ms", "mean", "p50", "p90", "p99", "p99.9", "max", what)
	for _, v := range []float64{l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max} {
		fmt.Fprintf(b, " %9.2f", v)
	}
	b.WriteByte('\n')
}
