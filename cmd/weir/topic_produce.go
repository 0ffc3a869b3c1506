package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/recordformat"
	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

// lineLimitBytes bounds a line of input; no broker takes records near it.
const lineLimitBytes = 256 << 20

type produceOptions struct {
	format, keySeparator, key, file string
	input                           string
	partition                       int32
	codec, acks                     string
	headers                         []string
	tombstone                       bool
	maxBytes                        int32
	keyPart, valuePart              partOptions
}

func newTopicProduceCommand(s *session) *cobra.Command {
	var o produceOptions
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Write records from standard input or a file",
		Long: `Write records to a topic. By default each line of standard input is the value of a record.

--key-sep divides lines into key and value. -f describes other input, as rpk and kcat do: %k key, %v or %s value, %t topic,
%p partition, %d or %T time in milliseconds, %K %V lengths such as %V{big32}, %h{...} headers; after a text verb {hex},
{base64} or {json}; everything else stands for itself, \n \t \xNN included. --input ndjson reads back what 'topic consume'
writes to a pipe, keys, headers, times and nulls included.

--value-format avro, protobuf or json-schema encodes values, which are JSON in the input, by a schema of a Schema Registry: the one with
--value-schema-id, that of the file --value-schema, which is registered, or else the latest of the subject TOPIC-value. The same goes for
keys. The registry is that of --schema-registry, or else at port 8081 of the broker's host. An empty line is no JSON; -T makes it a tombstone.

Records with equal keys go to the partition where Kafka's Java clients send them. With --acks all, the default, no record is
lost or doubled by a retry. What was written where goes to standard error, and with -o to standard output.`,
		Example: `  echo hello | weir topic produce greetings
  weir topic produce users --key-sep : --file users.txt -z zstd
  printf '3:foo6:foobar' | weir topic produce t -f '%V:%v'
  printf '\x00\x00\x00\x03abc' | weir topic produce t -f '%V{big32}%v'
  weir topic consume a --until-end | weir topic produce b --input ndjson
  echo '{"id":1}' | weir topic produce orders --value-format avro --value-schema order.avsc
  echo 'k1:' | weir topic produce users --key-sep : -T        delete a key of a compacted topic`,
		Args:              args(1, 1),
		ValidArgsFunction: s.completeTopics(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return produceTopic(cmd.Context(), s, o, args[0]) },
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.format, "format", "f", "", `form of the input, such as '%k:%v\n'`)
	f.StringVar(&o.keySeparator, "key-sep", "", "divide each line at the first `separator` into key and value")
	f.StringVarP(&o.key, "key", "k", "", "key of every record that has none in the input")
	f.StringVar(&o.file, "file", "-", "read this file instead of standard input")
	f.StringVar(&o.input, "input", "lines", "lines, or ndjson: the records that 'topic consume' writes to a pipe")
	f.Int32VarP(&o.partition, "partition", "p", -1, "partition to write to (-1: by key)")
	f.StringVarP(&o.codec, "compression", "z", "", "none, gzip, snappy, lz4 or zstd (default none)")
	f.StringVar(&o.acks, "acks", "", "all, 1 or 0 (default all)")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "header for every record, `key=value`; repeatable")
	f.BoolVarP(&o.tombstone, "tombstone", "T", false, "write null for an empty value: a tombstone")
	f.Int32Var(&o.maxBytes, "max-bytes", 0, "largest batch; the topic's max.message.bytes must allow it (default 1 MiB)")
	o.valuePart.addFlags(cmd, "value", producing)
	o.keyPart.addFlags(cmd, "key", producing)
	s.addRegistry(cmd)
	completeFrom(cmd, "compression", codecNames...)
	completeFrom(cmd, "acks", "all", "1", "0")
	completeFrom(cmd, "input", "lines", "ndjson")
	return cmd
}

var codecNames = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// writeOptions turns codec and acknowledgements into options of a client. Empty ones leave the choice to the client's
// properties (compression.type, acks), and to none and all where those are silent too.
func (s *session) writeOptions(codec, acks string) ([]kgo.Opt, error) {
	props, err := s.settings()
	if err != nil {
		return nil, err
	}
	var opts []kgo.Opt
	if codec != "" || props["compression.type"] == "" {
		codecs := map[string]kgo.CompressionCodec{
			"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
		}
		c, ok := codecs[codec]
		if !ok {
			return nil, usageErrorf("there is no codec %q: use one of %s", codec, strings.Join(codecNames, ", "))
		}
		opts = append(opts, kgo.ProducerBatchCompression(c))
	}
	switch acks {
	case "":
		return opts, nil
	case "all", "-1":
		return append(opts, kgo.RequiredAcks(kgo.AllISRAcks())), nil
	case "1":
		return append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()), nil
	case "0":
		return append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()), nil
	}
	return nil, usageErrorf("--acks %q is none of all, 1, 0", acks)
}

func (o *produceOptions) reader(in io.Reader) (recordformat.Reader, error) {
	switch {
	case o.input != "lines" && o.input != "ndjson":
		return nil, usageErrorf("--input %q is neither lines nor ndjson", o.input)
	case o.input == "ndjson" && (o.format != "" || o.keySeparator != ""), o.format != "" && o.keySeparator != "":
		return nil, usageErrorf("--input ndjson, -f and --key-sep exclude each other")
	case o.input == "ndjson":
		return recordformat.NewEnvelopeReader(in, lineLimitBytes), nil
	case o.format != "":
		r, err := recordformat.NewReader(in, o.format)
		if err != nil {
			return nil, usageErrorf("-f: %v", err)
		}
		return r, nil
	}
	return recordformat.NewLineReader(in, o.keySeparator, lineLimitBytes), nil
}

func (o *produceOptions) recordHeaders() ([]kgo.RecordHeader, error) {
	var headers []kgo.RecordHeader
	for _, h := range o.headers {
		key, value, ok := strings.Cut(h, "=")
		if !ok {
			return nil, usageErrorf("header %q is not key=value", h)
		}
		headers = append(headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	return headers, nil
}

func produceTopic(ctx context.Context, s *session, o produceOptions, topic string) error {
	in := s.in
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return fmt.Errorf("read --file: %w", err)
		}
		defer f.Close() //nolint:errcheck // read only
		in = f
	}
	reader, err := o.reader(in)
	if err != nil {
		return err
	}
	headers, err := o.recordHeaders()
	if err != nil {
		return err
	}
	opts, err := s.writeOptions(o.codec, o.acks)
	if err != nil {
		return err
	}
	if o.maxBytes > 0 {
		opts = append(opts, kgo.ProducerBatchMaxBytes(o.maxBytes))
	}
	opts = append(opts, kgo.DefaultProduceTopicAlways(), kgo.DefaultProduceTopic(topic))
	if o.partition >= 0 {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	cl, err := s.connect(ctx, opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	// Asking first makes a wrong name or partition an error at once, not after the client's retries.
	details, err := topicDetails(ctx, kadm.NewClient(cl), []string{topic})
	if err != nil {
		return err
	}
	if n := len(details[topic].Partitions); int(o.partition) >= n {
		return withFix(fmt.Errorf("topic %q has no partition %d", topic, o.partition), "it has partitions 0 to %d", n-1)
	}
	if o.file == "-" && s.inTerminal {
		s.progressf("reading lines from the terminal; Ctrl-D ends")
	}
	encode, err := s.encoders(ctx, &o, topic, reader)
	if err != nil {
		return err
	}
	p := &production{written: map[int32]*writtenRow{}, topic: topic}
	err = p.run(ctx, cl, reader, func(r *kgo.Record) error {
		r.Partition = max(o.partition, 0)
		if r.Key == nil && o.key != "" {
			r.Key = []byte(o.key)
		}
		if o.tombstone && len(r.Value) == 0 {
			r.Value = nil
		}
		r.Headers = append(r.Headers, headers...)
		return encode(ctx, r)
	})
	return errors.Join(err, p.report(s))
}

// production counts what became of the records of one run of 'topic produce'.
type production struct {
	topic string

	mu      sync.Mutex
	written map[int32]*writtenRow
	failed  error // the first failure
}

// writtenRow tells what was written to a partition.
type writtenRow struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	Records     int64  `json:"records"`
	FirstOffset int64  `json:"first_offset"`
	LastOffset  int64  `json:"last_offset"`
}

// run writes every record that reader yields and waits for all acknowledgements. It stops at the first failure.
func (p *production) run(ctx context.Context, cl *kgo.Client, reader recordformat.Reader, prepare func(*kgo.Record) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var read error
	for number := 1; ctx.Err() == nil; number++ {
		r, err := reader.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				read = fmt.Errorf("read the input: %w", err)
				if errors.Is(err, io.ErrUnexpectedEOF) {
					read = withFix(errors.New("the input ends within a record"), "what stands between records belongs to -f: '%%v\\n' for lines")
				}
			}
			break
		}
		if err := prepare(r); err != nil {
			read = fmt.Errorf("record %d of the input: %w", number, err)
			break
		}
		cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			if p.done(r, err) != nil {
				cancel() // stop reading: what follows would come out of order
			}
		})
	}
	flushed := cl.Flush(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return fmt.Errorf("write to %s: %w", p.topic, p.failed)
	}
	return errors.Join(read, flushed)
}

func (p *production) done(r *kgo.Record, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.failed == nil {
			p.failed = err
		}
		return err
	}
	row := p.written[r.Partition]
	if row == nil {
		row = &writtenRow{Topic: p.topic, Partition: r.Partition, FirstOffset: r.Offset}
		p.written[r.Partition] = row
	}
	row.Records++
	row.LastOffset = max(row.LastOffset, r.Offset)
	return nil
}

func (p *production) report(s *session) error {
	p.mu.Lock()
	rows := slices.Collect(maps.Values(p.written))
	p.mu.Unlock()
	slices.SortFunc(rows, func(a, b *writtenRow) int { return cmp.Compare(a.Partition, b.Partition) })
	var total int64
	t := &table.Table{Columns: []table.Column{{Title: "TOPIC"}, {Title: "PARTITION", Right: true}, {Title: "RECORDS", Right: true}, {Title: "FIRST", Right: true}, {Title: "LAST", Right: true}}}
	for _, r := range rows {
		total += r.Records
		t.Add(r.Topic, fmt.Sprint(r.Partition), text.Count(r.Records), fmt.Sprint(r.FirstOffset), fmt.Sprint(r.LastOffset))
	}
	switch len(rows) {
	case 0:
		s.progressf("wrote nothing to %s", p.topic)
	case 1:
		s.progressf("wrote %s to %s, partition %d, offsets %d to %d", plural(total, "record"), p.topic, rows[0].Partition, rows[0].FirstOffset, rows[0].LastOffset)
	default:
		s.progressf("wrote %s to %d partitions of %s", plural(total, "record"), len(rows), p.topic)
	}
	if s.output == "" {
		return nil
	}
	return s.print(rows, t)
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return text.Count(n) + " " + noun + "s"
}
