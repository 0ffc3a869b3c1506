// Command registry measures the Schema Registry of a built binary: how long a start takes with many schemas, what memory that needs,
// and how long lookups by id take at a fixed rate.
//
//	go run ./bench/registry -binary dist/weir -schemas 50000 -rate 2000 -seconds 10
//
// It fills the topic _schemas with records in Confluent's form, which is quicker than to register and says nothing of that, stops the
// server, starts it anew, and waits for /readyz. Lookups are sent when they are due, whatever became of those before, and timed from then.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
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
	flag.Parse()
	if err := run(context.Background(), *binary, *schemas, *rate, time.Duration(*seconds)*time.Second); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, schemas, rate int, how time.Duration) error {
	dir, err := os.MkdirTemp("", "registry-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder of the temporary ones
	s, err := start(ctx, binary, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	if err := errors.Join(fill(ctx, s.addresses["kafka"], schemas), s.stop()); err != nil {
		return err
	}
	began := time.Now()
	if s, err = start(ctx, binary, filepath.Join(dir, "data")); err != nil {
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
	took, err := lookups(ctx, s.addresses["registry"], schemas, rate, how)
	if err != nil {
		return err
	}
	after, err := s.resident()
	if err != nil {
		return err
	}
	slices.Sort(took)
	at := func(p float64) time.Duration { return took[min(int(p*float64(len(took))), len(took)-1)] }
	fmt.Printf("schemas %d, start to first answer %s, to all loaded %s, resident %d MiB (%d MiB after the lookups)\n", schemas, answers.Round(time.Millisecond), loaded.Round(time.Millisecond), memory>>20, after>>20)
	fmt.Printf("lookups by id at %d/s: %d, p50 %s, p99 %s, p99.9 %s, most %s\n", rate, len(took), at(.5), at(.99), at(.999), took[len(took)-1])
	return nil
}

// server is a running binary.
type server struct {
	cmd       *exec.Cmd
	addresses map[string]string
}

func start(ctx context.Context, binary, data string) (*server, error) {
	s := &server{cmd: exec.CommandContext(ctx, binary, "server", "--data", data, "--kafka-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--registry-listen", "127.0.0.1:0", "--log-level", "error")}
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

// lookups asks for random ids at a rate and returns how long each took, from when it was due.
func lookups(ctx context.Context, address string, schemas, rate int, how time.Duration) ([]time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}}
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var wg sync.WaitGroup
	due := make(chan time.Time, rate)
	for range 64 {
		wg.Go(func() {
			for at := range due {
				err := lookup(ctx, client, address, 1+rand.IntN(schemas))
				mu.Lock()
				took = append(took, time.Since(at))
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	for i := range int(how.Seconds()) * rate {
		at := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at))
		due <- at
	}
	close(due)
	wg.Wait()
	return took, failed
}

func lookup(ctx context.Context, client *http.Client, address string, id int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/schemas/ids/%d", address, id), nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // likewise
	b, err := io.ReadAll(res.Body)
	if err == nil && !bytes.Contains(b, fmt.Appendf(nil, "Order%d", id-1)) {
		return fmt.Errorf("id %d: %d %s", id, res.StatusCode, b)
	}
	return err
}
