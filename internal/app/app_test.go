package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
)

// stopLimit is how long a server may take from the signal to its end: less than what its clients wish to wait for, which is half a minute.
const stopLimit = 15 * time.Second

// server is a running App on the disk.
type server struct {
	*app.App
	dir  string
	log  *logBuffer
	stop context.CancelFunc
	done chan error
	// alive ends with the server: who waits for something of a server that failed would wait for ever.
	alive context.Context //nolint:containedctx // it is the life of the server
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func values(t testing.TB, dir string, set ...string) *config.Values {
	t.Helper()
	schema, err := app.Schema()
	if err != nil {
		t.Fatal(err)
	}
	v, err := schema.Load(config.Sources{Set: append([]string{
		"data=" + dir, "kafka.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0",
		"storage.wal.file.bytes=4194304", "group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=2",
	}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// start starts a server and returns it when it is ready, or the error with which it ended.
func start(t testing.TB, dir string, set ...string) (*server, error) {
	t.Helper()
	log := &logBuffer{}
	s := &server{dir: dir, log: log, done: make(chan error, 1)}
	s.App = app.New(app.Options{Values: values(t, dir, set...), Version: "test+1", Logger: slog.New(slog.NewTextHandler(log, nil))})
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	ready := make(chan struct{})
	var ended context.CancelFunc
	s.alive, ended = context.WithCancel(context.Background())
	go func() {
		defer ended()
		s.done <- s.Run(ctx, func() { close(ready) })
	}()
	select {
	case <-ready:
		t.Cleanup(func() { s.end(t) })
		return s, nil
	case err := <-s.done:
		stop()
		return nil, err
	}
}

func mustStart(t testing.TB, dir string, set ...string) *server {
	t.Helper()
	s, err := start(t, dir, set...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// end stops the server and returns how long that took. A second call does nothing.
func (s *server) end(t testing.TB) time.Duration {
	t.Helper()
	if s.stop == nil {
		return 0
	}
	began := time.Now()
	s.stop()
	s.stop = nil
	if err := <-s.done; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	return time.Since(began)
}

func (s *server) client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.Addresses()["kafka"])}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestServerStartsOnAMissingDirectoryAndCleansUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "data")
	s := mustStart(t, dir)
	r, err := app.ReadRunFile(dir)
	if err != nil || r.PID != os.Getpid() || r.Addresses["kafka"] != s.Addresses()["kafka"] || r.ClusterID == "" || r.Version != "test+1" {
		t.Errorf("run file is %+v, %v", r, err)
	}
	if strings.Count(s.log.String(), "msg=ready") != 1 || !strings.Contains(s.log.String(), "kafka="+r.Addresses["kafka"]) {
		t.Errorf("no ready line with the address in\n%s", s.log)
	}
	if strings.Contains(s.log.String(), "level=WARN") {
		t.Errorf("a warning on the loopback:\n%s", s.log)
	}
	s.end(t)
	if _, err := app.ReadRunFile(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run file is still there: %v", err)
	}
}

func TestAdminPages(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir())
	base := "http://" + s.Addresses()["admin"]
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok\n"} {
		if code, body := get(t, base+path); code != http.StatusOK || body != want {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if code, _ := get(t, base+"/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("profiles are served without being asked for: %d", code)
	}
	_, body := get(t, base+"/metrics")
	for _, name := range []string{"weir_wal_frames_total", "weir_storage_recovery_seconds", "kafka_brokers", "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("no %s in /metrics", name)
		}
	}
}

func TestSecondServerIsToldWhoHasTheDirectory(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir())
	_, err := start(t, s.dir)
	if !errors.Is(err, app.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process %d, with Kafka at %s", os.Getpid(), s.Addresses()["kafka"])) {
		t.Errorf("got %v", err)
	}
	if _, err := app.ReadRunFile(s.dir); err != nil {
		t.Errorf("the second server took the first one's run file: %v", err)
	}
}

func TestPortInUseIsTold(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, name := range []string{"kafka.listen", "admin.listen"} {
		dir := t.TempDir()
		_, err := start(t, dir, name+"="+ln.Addr().String())
		if err == nil || !strings.Contains(err.Error(), "listen on "+ln.Addr().String()) || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s: got %v", name, err)
		}
		// The directory is free again.
		mustStart(t, dir)
	}
}

func TestGarbageInTheDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"file in the place of the directory": func(dir string) error { return os.WriteFile(dir, []byte("x"), 0o600) },
		"file in the place of the metadata": func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o750), os.WriteFile(filepath.Join(dir, "meta"), []byte("x"), 0o600))
		},
		"noise in the log": func(dir string) error {
			wal := filepath.Join(dir, "wal")
			return errors.Join(os.MkdirAll(wal, 0o750), os.WriteFile(filepath.Join(wal, "0000000000000000.wal"), bytes.Repeat([]byte("noise"), 10_000), 0o600))
		},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := start(t, dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got %v, want an error that names the place", name, err)
		}
	}
}

func TestStaleRunFileIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// What a killed server leaves, and one that was killed while it wrote.
	for name, text := range map[string]string{"run.json": `{"pid":1}`, "run.json.tmp": `{"pi`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := mustStart(t, dir)
	if r, err := app.ReadRunFile(dir); err != nil || r.PID != os.Getpid() {
		t.Errorf("got %+v, %v", r, err)
	}
	s.end(t)
	if names, err := filepath.Glob(filepath.Join(dir, "run.json*")); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestFiveRestartsKeepRecordsOffsetsAndIdentity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var cluster string
	for i := range 5 {
		s := mustStart(t, dir)
		r, err := app.ReadRunFile(dir)
		if err != nil || cluster != "" && r.ClusterID != cluster {
			t.Errorf("start %d: cluster %s, %v; before %s", i, r.ClusterID, err, cluster)
		}
		cluster = r.ClusterID
		cl := s.client(t, kgo.AllowAutoTopicCreation())
		adm := kadm.NewClient(cl)
		if i > 0 {
			committed, err := adm.FetchOffsets(t.Context(), "g")
			if o, ok := committed.Lookup("t", 0); err != nil || !ok || o.At != int64(i) {
				t.Errorf("start %d: committed %+v, %v; want %d", i, o, err, i)
			}
		}
		got := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte{byte(i)}})
		if err := got.FirstErr(); err != nil || got[0].Record.Offset != int64(i) {
			t.Fatalf("start %d: written at %d, %v", i, got[0].Record.Offset, err)
		}
		offsets := kadm.Offsets{}
		offsets.AddOffset("t", 0, int64(i+1), -1)
		if err := adm.CommitAllOffsets(t.Context(), "g", offsets); err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		s.end(t)
	}
}

// TestATopicMadeForARequestIsInItsAnswer has a client ask for two topics that are not there, one of which may be made.
func TestATopicMadeForARequestIsInItsAnswer(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir(), "num.partitions=3")
	cl := s.client(t)
	for _, create := range []bool{false, true} {
		req := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = new("made")
		req.Topics, req.AllowAutoTopicCreation = append(req.Topics, topic), create
		res, err := req.RequestWith(t.Context(), cl)
		if err != nil {
			t.Fatal(err)
		}
		want, partitions := kerr.UnknownTopicOrPartition.Code, 0
		if create {
			want, partitions = 0, 3
		}
		if got := res.Topics[0]; got.ErrorCode != want || len(got.Partitions) != partitions {
			t.Errorf("may create %t: code %d with %d partitions; want %d with %d", create, got.ErrorCode, len(got.Partitions), want, partitions)
		}
	}
}

func TestStopIsQuickWithLongPollsAndMembers(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir())
	cl := s.client(t, kgo.AllowAutoTopicCreation())
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t"}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		member := s.client(t, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.FetchMaxWait(30*time.Second), kgo.FetchMinBytes(1<<20))
		polling := s.client(t, kgo.ConsumeTopics("t"), kgo.FetchMaxWait(30*time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
		for _, c := range []*kgo.Client{member, polling} {
			go c.PollFetches(t.Context())
		}
	}
	// Members have joined, and so the others have long been waiting, when the group is stable with all of them.
	for {
		groups, err := kadm.NewClient(cl).DescribeGroups(t.Context(), "g")
		if err != nil {
			t.Fatal(err)
		}
		if g := groups["g"]; g.State == "Stable" && len(g.Members) == 3 {
			break
		}
	}
	if took := s.end(t); took > stopLimit {
		t.Errorf("stopping took %v", took)
	} else {
		t.Logf("stopped in %v", took.Round(time.Millisecond))
	}
}

func TestAddressesThatStrangersReachAreWarnedOf(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir(), "kafka.listen=:0", "advertised.listeners=PLAINTEXT://localhost:1234")
	log := s.log.String()
	if strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "nobody has to log in") || !strings.Contains(log, "listener=kafka") {
		t.Errorf("got\n%s", log)
	}
	m, err := kadm.NewClient(s.client(t)).BrokerMetadata(t.Context())
	if err != nil || len(m.Brokers) != 1 || m.Brokers[0].Host != "localhost" || m.Brokers[0].Port != 1234 {
		t.Errorf("clients are told %+v, %v", m.Brokers, err)
	}
}

// TestOffsetsOfATopicWhoseDeletionACrashCutShortGo deletes topics as a server does that dies before its groups hear of it:
// one for good, and one that was made again under its name.
func TestOffsetsOfATopicWhoseDeletionACrashCutShortGo(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir())
	cl := s.client(t, kgo.AllowAutoTopicCreation())
	for group, topic := range map[string]string{"reader of gone": "gone", "reader of again": "again", "reader of stays": "stays", "reader of other": "other"} {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		offsets := kadm.Offsets{}
		offsets.AddOffset(topic, 0, 1, -1)
		if err := kadm.NewClient(cl).CommitAllOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
	}
	s.end(t)
	store, err := meta.OpenPebble(filepath.Join(s.dir, "meta"), meta.PebbleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := store.Get(t.Context(), "t/other")
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Txn(t.Context(), nil, []meta.Op{
		{Kind: meta.Delete, Key: "t/gone"}, {Kind: meta.Delete, Key: "t/other"}, {Kind: meta.Put, Key: "t/again", Value: other.Value},
	})
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}

	// A group ends with its last offset.
	adm := kadm.NewClient(mustStart(t, s.dir).client(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		groups, err := adm.ListGroups(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := groups["reader of stays"]; !ok {
			t.Fatal("the group of a topic that is there lost its offsets")
		}
		_, gone := groups["reader of gone"]
		_, again := groups["reader of again"]
		if !gone && !again {
			return
		}
	}
}
