// Command registry measures the Schema Registry of a built binary: how long a start takes with many schemas, what memory that needs,
// and how long lookups by id take at a fixed rate.
//
//	go run ./bench/registry -binary dist/weir -schemas 50000 -rate 2000 -seconds 10
//
// It fills the topic _schemas with records in Confluent's form, which is quicker than to register and says nothing of that, stops the
// server, starts it anew, and waits for /readyz.
//
// Lookups are sent when they are due, whatever became of those before. Each is timed twice: from when it was due, which counts all that
// made it late, and from when its request was written, which is the share of the server and of the way there. What lies between is the
// generator's own: it is woken by the system's timer on a thread of its own, since Go's timers may be a millisecond late, and it speaks
// HTTP over connections of its own, without net/http's client.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	binary := flag.String("binary", "dist/weir", "the server")
	schemas := flag.Int("schemas", 50_000, "how many schemas there are")
	rate := flag.Int("rate", 2000, "lookups a second")
	seconds := flag.Int("seconds", 10, "how long lookups are made")
	profiles := flag.String("profiles", "", "folder for profiles of the server: its heap after the start, its CPU time during the lookups")
	flag.Parse()
	if err := run(context.Background(), options{*binary, *profiles, *schemas, *rate, time.Duration(*seconds) * time.Second}); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

type options struct {
	binary, profiles string
	schemas, rate    int
	seconds          time.Duration
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "registry-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder of the temporary ones
	s, err := start(ctx, o.binary, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	if err := errors.Join(fill(ctx, s.addresses["kafka"], o.schemas), s.stop()); err != nil {
		return err
	}
	began := time.Now()
	if s, err = start(ctx, o.binary, filepath.Join(dir, "data")); err != nil {
		return err
	}
	defer s.stop() //nolint:errcheck // told below, if it matters
	answers := time.Since(began)
	if err := s.ready(ctx); err != nil {
		return err
	}
	loaded := time.Since(began)
	memory, err := s.resident()
	if err != nil {
		return err
	}
	var profiled sync.WaitGroup
	var failed error
	if o.profiles != "" {
		if err := s.profile(ctx, "heap", filepath.Join(o.profiles, "registry-heap.pprof")); err != nil {
			return err
		}
		profiled.Go(func() {
			failed = s.profile(ctx, fmt.Sprintf("profile?seconds=%d", int(o.seconds.Seconds())), filepath.Join(o.profiles, "registry-cpu.pprof"))
		})
	}
	took, err := lookups(ctx, s.addresses["registry"], o)
	profiled.Wait()
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	after, err := s.resident()
	if err != nil {
		return err
	}
	fmt.Printf("schemas %d, start to first answer %s, to all loaded %s, resident %d MiB (%d MiB after the lookups)\n", o.schemas, answers.Round(time.Millisecond), loaded.Round(time.Millisecond), memory>>20, after>>20)
	fmt.Printf("lookups by id at %d/s: %d\n", o.rate, len(took))
	report("from when they were due", took, func(l timed) time.Duration { return l.answered.Sub(l.due) })
	report("from when they were sent", took, func(l timed) time.Duration { return l.answered.Sub(l.sent) })
	return nil
}

func report(what string, all []timed, of func(timed) time.Duration) {
	var took []time.Duration
	for _, l := range all {
		took = append(took, of(l))
	}
	slices.Sort(took)
	at := func(p float64) time.Duration {
		return took[min(int(p*float64(len(took))), len(took)-1)].Round(time.Microsecond)
	}
	fmt.Printf("  %-25s p50 %s, p99 %s, p99.9 %s, most %s\n", what, at(.5), at(.99), at(.999), at(1))
}

// server is a running binary.
type server struct {
	cmd       *exec.Cmd
	addresses map[string]string
}

func start(ctx context.Context, binary, data string) (*server, error) {
	s := &server{cmd: exec.CommandContext(ctx, binary, "server", "--data", data, "--kafka-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--registry-listen", "127.0.0.1:0", "--log-level", "error", "--set", "admin.pprof=true")}
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 6000 {
		b, err := os.ReadFile(filepath.Join(data, "run.json"))
		var out struct {
			Addresses map[string]string `json:"addresses"`
		}
		if err == nil && json.Unmarshal(b, &out) == nil {
			s.addresses = out.Addresses
			return s, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil, errors.New("the server did not start")
}

func (s *server) stop() error {
	return errors.Join(s.cmd.Process.Signal(syscall.SIGTERM), s.cmd.Wait())
}

func (s *server) ready(ctx context.Context) error {
	for range 6000 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addresses["admin"]+"/readyz", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			res.Body.Close() //nolint:errcheck // its status is all that is asked for
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("the server did not get ready")
}

// profile asks the server for a profile and keeps it in a file.
func (s *server) profile(ctx context.Context, what, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addresses["admin"]+"/debug/pprof/"+what, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // nothing is written through it
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("profile: %d %s", res.StatusCode, b)
	}
	return errors.Join(err, os.WriteFile(file, b, 0o600))
}

// resident is the memory that the server has, in bytes.
func (s *server) resident() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("no VmRSS")
}

// text is a schema of a common size: a record of ten fields.
func text(i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"type":"record","name":"Order%d","namespace":"com.example.orders","fields":[`, i)
	for f := range 10 {
		if f > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"field_%d","type":["null","string"],"default":null}`, f)
	}
	b.WriteString("]}")
	return b.String()
}

func fill(ctx context.Context, address string, schemas int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic("_schemas"))
	if err != nil {
		return err
	}
	defer client.Close()
	compact := "compact"
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, -1, map[string]*string{"cleanup.policy": &compact}, "_schemas"); err != nil {
		return err
	}
	for i := range schemas {
		value, err := json.Marshal(map[string]any{"subject": fmt.Sprintf("topic-%d-value", i), "version": 1, "id": i + 1, "schema": text(i), "deleted": false})
		if err != nil {
			return err
		}
		key := fmt.Sprintf(`{"keytype":"SCHEMA","subject":"topic-%d-value","version":1,"magic":1}`, i)
		client.Produce(ctx, &kgo.Record{Key: []byte(key), Value: value}, nil)
	}
	return client.Flush(ctx)
}
