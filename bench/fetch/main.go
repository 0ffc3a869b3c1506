// Command fetch reads topics of any Kafka-compatible broker from the start, as a franz-go client does, and tells what the answers to
// its fetches looked like and what they cost: their number and size, how long the first byte of one was waited for and how long the
// rest took to come, and the CPU time of the client and, with --pid, of the server on the same machine. One JSON line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	broker    = flag.String("broker", "127.0.0.1:9092", "address of a broker")
	topics    = flag.String("topics", "", "topics, comma separated")
	pid       = flag.Int("pid", 0, "process of the server, for its CPU time")
	partBytes = flag.Int("partition-bytes", 1<<20, "max.partition.fetch.bytes")
)

const fetchKey = 1

// watch counts the answers to fetches.
type watch struct{ fetches, bytes, waitNanos, readNanos atomic.Int64 }

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (w *watch) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key != fetchKey {
		return
	}
	w.fetches.Add(1)
	w.bytes.Add(int64(e.BytesRead))
	w.waitNanos.Add(int64(e.ReadWait))
	w.readNanos.Add(int64(e.TimeToRead))
}

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	admin, err := kgo.NewClient(kgo.SeedBrokers(*broker))
	if err != nil {
		return err
	}
	defer admin.Close()
	ends, err := kadm.NewClient(admin).ListEndOffsets(ctx, strings.Split(*topics, ",")...)
	if err != nil {
		return fmt.Errorf("list end offsets: %w", err)
	}
	from := map[string]map[int32]kgo.Offset{}
	want := int64(0)
	ends.Each(func(o kadm.ListedOffset) {
		if from[o.Topic] == nil {
			from[o.Topic] = map[int32]kgo.Offset{}
		}
		from[o.Topic][o.Partition] = kgo.NewOffset().At(0)
		want += max(o.Offset, 0)
	})
	if want == 0 {
		return errors.New("no records to read")
	}
	w := &watch{}
	server, own, begin := serverSeconds(), ownSeconds(), time.Now()
	cl, err := kgo.NewClient(kgo.SeedBrokers(*broker), kgo.ConsumePartitions(from), kgo.FetchMaxBytes(50<<20),
		kgo.FetchMaxPartitionBytes(int32(*partBytes)), kgo.WithHooks(w))
	if err != nil {
		return err
	}
	var records, values int64
	for records < want {
		f := cl.PollFetches(ctx)
		if err := f.Err(); err != nil {
			cl.Close()
			return fmt.Errorf("fetch: %w", err)
		}
		f.EachRecord(func(r *kgo.Record) { records++; values += int64(len(r.Value)) })
	}
	took := time.Since(begin).Seconds()
	server, own = serverSeconds()-server, ownSeconds()-own
	cl.Close()
	n, gib := float64(w.fetches.Load()), float64(w.bytes.Load())/(1<<30)
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"records": records, "seconds": took, "mb_per_s": float64(values) / took / 1e6, "records_per_s": float64(records) / took,
		"fetches": n, "mean_mib": float64(w.bytes.Load()) / n / (1 << 20),
		"wait_ms": float64(w.waitNanos.Load()) / n / 1e6, "read_ms": float64(w.readNanos.Load()) / n / 1e6,
		"client_cpu_s_per_gib": own / gib, "server_cpu_s_per_gib": server / gib,
	})
}

// ownSeconds is the CPU time of this process.
func ownSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// ticksPerSecond is what the times in /proc are counted in on every Linux there is.
const ticksPerSecond = 100

// serverSeconds is the CPU time of --pid; 0 without.
func serverSeconds() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", *pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks float64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return ticks / ticksPerSecond
}
