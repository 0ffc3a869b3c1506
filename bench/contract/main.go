// Command contract measures what contracts cost: one client writes the same records to topics that differ in nothing but their contract, in
// turns, on one server. It makes the topics and registers the schema, by a record in _schemas as a registry would write it.
//
// Off, absent, observe and reject are among them. It prints the median of the rounds for each level: records and bytes a second, and the server's CPU seconds for each million of
// records, from the metrics of its admin address. All records obey; what does not costs more, by how much depends on the mode.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const schemaText = `{"type":"record","name":"Order","namespace":"bench","fields":[{"name":"id","type":"long"},{"name":"customer","type":"string"},` +
	`{"name":"count","type":"int"},{"name":"price","type":"double"},{"name":"tags","type":{"type":"array","items":"string"}},{"name":"note","type":["null","string"],"default":null}]}`

var ruleSet = map[string]any{"domainRules": []map[string]any{
	{"name": "few", "kind": "CONDITION", "mode": "WRITE", "type": "CEL", "expr": "message.count > 0 && message.count <= 1000"},
	{"name": "named", "kind": "CONDITION", "mode": "WRITE", "type": "CEL", "expr": "size(message.customer) > 0"},
}}

// levels are the topics, in their first order; off has a contract of mode off, absent has none, and observe is the level id in mode observe.
// The others are of mode reject.
var levels = []string{"off", "absent", "observe", "id", "schema", "rules"}

// configs are those of a topic's contract.
func configs(level string) map[string]*string {
	out := map[string]*string{"retention.bytes": new("268435456"), "segment.bytes": new("67108864")}
	switch level {
	case "absent":
	case "off":
		out["weir.contract.mode"] = new("off")
	case "observe":
		out["weir.contract.mode"], out["weir.contract.level"] = new("observe"), new("id")
	default:
		out["weir.contract.mode"], out["weir.contract.level"] = new("reject"), new(level)
	}
	return out
}

type options struct {
	broker, admin string
	seconds       float64
	rounds, bytes int
	codec         string
	levels        []string
}

// measured is one turn of one level.
type measured struct{ recordsPerSecond, bytesPerSecond, cpuPerMillion float64 }

func main() {
	var o options
	flag.StringVar(&o.broker, "broker", "127.0.0.1:9092", "address of a broker")
	flag.StringVar(&o.admin, "admin", "127.0.0.1:9644", "its admin address")
	flag.Float64Var(&o.seconds, "seconds", 5, "length of a turn")
	flag.IntVar(&o.rounds, "rounds", 3, "turns of each level")
	flag.IntVar(&o.bytes, "record-bytes", 1024, "size of a value, about")
	flag.StringVar(&o.codec, "compression", "none", "none, lz4, zstd, snappy or gzip")
	chosen := flag.String("levels", strings.Join(levels, ","), "what is measured, in turns")
	flag.Parse()
	o.levels = strings.Split(*chosen, ",")
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "contract:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if err := prepare(ctx, o); err != nil {
		return err
	}
	all := map[string][]measured{}
	for round := range o.rounds + 1 {
		order := slices.Clone(o.levels)
		// Whoever comes next bears what the one before has left to be done: cuts, retention.
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, level := range order {
			m, err := turn(ctx, o, level)
			if err != nil {
				return fmt.Errorf("level %s: %w", level, err)
			}
			if round > 0 { // the first warms up
				all[level] = append(all[level], m)
			}
		}
	}
	off := median(all[o.levels[0]], func(m measured) float64 { return m.recordsPerSecond })
	fmt.Printf("| contract | records/s | MB/s | of the first | server CPU s per million records |\n|---|---|---|---|---|\n")
	for _, level := range o.levels {
		rate := median(all[level], func(m measured) float64 { return m.recordsPerSecond })
		fmt.Printf("| %s | %.0f | %.1f | %.2f | %.2f |\n", level, rate, median(all[level], func(m measured) float64 { return m.bytesPerSecond })/1e6,
			rate/off, median(all[level], func(m measured) float64 { return m.cpuPerMillion }))
	}
	return nil
}

func median(all []measured, of func(measured) float64) float64 {
	var v []float64
	for _, m := range all {
		v = append(v, of(m))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// prepare makes a topic for each level, and registers the schema for it.
func prepare(ctx context.Context, o options) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.broker), kgo.DefaultProduceTopic("_schemas"))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	topics := map[string]map[string]*string{"_schemas": nil}
	for _, level := range o.levels {
		topics["contract-"+level] = configs(level)
	}
	for name, configs := range topics {
		partitions := int32(6)
		if name == "_schemas" {
			partitions = 1
		}
		if _, err := adm.CreateTopic(ctx, partitions, 1, configs, name); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create %s: %w", name, err)
		}
	}
	for _, level := range o.levels {
		subject := "contract-" + level + "-value"
		value, err := json.Marshal(map[string]any{"subject": subject, "version": 1, "id": 1, "schema": schemaText, "ruleSet": ruleSet, "deleted": false})
		if err != nil {
			return err
		}
		key := fmt.Appendf(nil, `{"keytype":"SCHEMA","subject":%q,"version":1,"magic":1}`, subject)
		if err := cl.ProduceSync(ctx, &kgo.Record{Key: key, Value: value}).FirstErr(); err != nil {
			return fmt.Errorf("register: %w", err)
		}
	}
	return nil
}

// orders makes values that obey, of about the size asked for.
func orders(size int) [][]byte {
	var out [][]byte
	text := func(b []byte, s string) []byte { return append(binary.AppendVarint(b, int64(len(s))), s...) }
	for i := range 512 {
		b := binary.BigEndian.AppendUint32([]byte{0}, 1)
		b = binary.AppendVarint(b, int64(i)*7919)
		b = text(b, fmt.Sprintf("customer %d", i*31))
		b = binary.AppendVarint(b, int64(1+i))
		b = binary.LittleEndian.AppendUint64(b, uint64(i)*1e15)
		b = binary.AppendVarint(b, 2)
		b = text(text(b, "new"), "express")
		b = binary.AppendVarint(b, 0)
		note := ""
		for n := 0; len(b)+len(note) < size; n++ {
			note += strconv.Itoa(i*n*2654435761) + " "
		}
		out = append(out, text(binary.AppendVarint(b, 1), note))
	}
	return out
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(), "snappy": kgo.SnappyCompression(), "gzip": kgo.GzipCompression(),
}

// turn writes as fast as it goes for a while.
func turn(ctx context.Context, o options, level string) (measured, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.broker), kgo.DefaultProduceTopic("contract-"+level), kgo.ProducerBatchCompression(codecs[o.codec]),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(100_000), kgo.RecordPartitioner(kgo.StickyPartitioner()))
	if err != nil {
		return measured{}, err
	}
	defer cl.Close()
	values := orders(o.bytes)
	before, err := cpu(ctx, o.admin)
	if err != nil {
		return measured{}, err
	}
	var done, bytes atomic.Int64
	var failed atomic.Pointer[error]
	began := time.Now()
	for i := 0; time.Since(began).Seconds() < o.seconds && failed.Load() == nil; i++ {
		cl.Produce(ctx, &kgo.Record{Value: values[i%len(values)]}, func(r *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
				return
			}
			done.Add(1)
			bytes.Add(int64(len(r.Value)))
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return measured{}, err
	}
	if err := failed.Load(); err != nil {
		return measured{}, *err
	}
	took := time.Since(began).Seconds()
	after, err := cpu(ctx, o.admin)
	if err != nil {
		return measured{}, err
	}
	n := float64(done.Load())
	return measured{n / took, float64(bytes.Load()) / took, (after - before) / n * 1e6}, nil
}

// cpu is the CPU time that the server has used.
func cpu(ctx context.Context, admin string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() //nolint:errcheck // nothing is written through it
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "process_cpu_seconds_total "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, errors.New("the admin server tells nothing of CPU time")
}
