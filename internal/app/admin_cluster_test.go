package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// joined is a broker of a cluster in memory.
type joined struct {
	*app.App
	stop context.CancelFunc
	done chan error
}

func startJoined(t *testing.T, store meta.Store, objects blob.Store, set ...string) *joined {
	t.Helper()
	j := &joined{done: make(chan error, 1)}
	j.App = app.New(app.Options{
		Values: values(t, "/weir", append([]string{"storage.shards=6", "cluster.lease.ms=2000", "storage.flush.interval.ms=5"}, set...)...), Version: "test",
		Logger: slog.New(slog.DiscardHandler), FS: vfs.NewMem(), Blob: objects, Meta: store, NoRunFile: true, Cluster: true,
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	j.stop = stop
	ready := make(chan struct{})
	go func() { j.done <- j.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-j.done:
		t.Fatalf("the broker did not start: %v", err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-j.done; err != nil {
			t.Errorf("the broker ended with %v", err)
		}
	})
	return j
}

// ask sends a request to the admin server and decodes the answer into v, if that is not nil.
func (j *joined) ask(t *testing.T, method, path string, v any) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+j.Addresses()["admin"]+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // nothing is written through it
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if v != nil {
		if err := json.Unmarshal(body, v); err != nil {
			t.Fatalf("%s %s: %d %s: %v", method, path, res.StatusCode, body, err)
		}
	}
	return res.StatusCode, string(body)
}

// until asks for the status until it is as wanted.
func (j *joined) until(t *testing.T, what string, wanted func(app.ClusterStatus) bool) app.ClusterStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var s app.ClusterStatus
		j.ask(t, http.MethodGet, "/v1/cluster", &s)
		if wanted(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within a minute; last status %+v", what, s)
		}
	}
}

func owned(s app.ClusterStatus, id int32) int {
	for _, b := range s.Brokers {
		if b.ID == id {
			return b.Owned
		}
	}
	return 0
}

func TestAnyBrokerTellsOfTheClusterAndDrainsAnother(t *testing.T) {
	t.Parallel()
	store, objects := meta.NewMem(nil), blob.NewMem()
	one := startJoined(t, store, objects, "broker.rack=a")
	two := startJoined(t, store, objects, "broker.rack=b")
	s := two.until(t, "all shards owned", func(s app.ClusterStatus) bool {
		return len(s.Brokers) == 2 && len(s.Unowned) == 0 && s.Moving == 0 && s.Controller > 0
	})
	if s.Shards != 6 || s.Alone || s.Broker != 2 || s.Brokers[0].Rack != "a" || !s.Brokers[1].Ready || s.LeaseMs != 2000 || owned(s, 1)+owned(s, 2) != 6 {
		t.Errorf("status is %+v", s)
	}
	from, to := int32(1), int32(2)
	if owned(s, 2) > owned(s, 1) {
		from, to = to, from
	}
	if code, body := two.ask(t, http.MethodPost, "/v1/cluster/drain/"+string('0'+from), nil); code != http.StatusAccepted {
		t.Fatalf("drain: %d %s", code, body)
	}
	one.until(t, "drained", func(s app.ClusterStatus) bool { return owned(s, from) == 0 && owned(s, to) == 6 })
	for _, j := range []*joined{one, two} { // the controller and the other
		var b app.ClusterBalance
		j.ask(t, http.MethodGet, "/v1/cluster/balance", &b)
		if len(b.Brokers) != 2 || b.Why == "" || len(b.Racks) != 2 || b.Brokers[to-1].Shards != 6 || b.Brokers[from-1].Note != "drained" {
			t.Errorf("balance is %+v", b)
		}
	}
	if code, body := one.ask(t, http.MethodPost, "/v1/cluster/drain/"+string('0'+to), nil); code != http.StatusConflict || !strings.Contains(body, "no other broker") {
		t.Errorf("drain of the last broker: %d %s", code, body)
	}
	if code, body := one.ask(t, http.MethodDelete, "/v1/cluster/drain/"+string('0'+from), nil); code != http.StatusNoContent {
		t.Errorf("undo: %d %s", code, body)
	}
	one.until(t, "not draining", func(s app.ClusterStatus) bool { return !s.Brokers[from-1].Draining })
	for path, want := range map[string]int{"9": http.StatusNotFound, "-1": http.StatusBadRequest, "x": http.StatusBadRequest, "99999999999": http.StatusBadRequest} {
		if code, body := one.ask(t, http.MethodPost, "/v1/cluster/drain/"+path, nil); code != want || !strings.Contains(body, "error") {
			t.Errorf("drain of %s: %d %s, want %d", path, code, body, want)
		}
	}
}

func TestHealthTellsWhichStoreIsOutOfReach(t *testing.T) {
	t.Parallel()
	store, objects := meta.NewFault(meta.NewMem(nil), nil), blob.NewFault(blob.NewMem(), nil)
	j := startJoined(t, store, objects)
	j.until(t, "all shards owned", func(s app.ClusterStatus) bool { return len(s.Unowned) == 0 && s.Controller == 1 })
	var h app.ClusterHealth
	if j.ask(t, http.MethodGet, "/v1/cluster/health", &h); !h.Healthy || !h.Metadata.OK || !h.Objects.OK || h.Problems == nil {
		t.Fatalf("health is %+v", h)
	}
	away := errors.New("the cable is out")
	objects.Inject(blob.On("health/", func(blob.Op) error { return away }))
	store.Inject(meta.On("shards", func(meta.FaultOp) error { return away }))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for h.Healthy { // an answer is told again for a second
		<-tick.C
		j.ask(t, http.MethodGet, "/v1/cluster/health", &h)
	}
	if h.Metadata.OK || h.Objects.OK || !strings.Contains(h.Metadata.Error, "cable") || len(h.Problems) != 2 {
		t.Errorf("health is %+v", h)
	}
	objects.Inject(nil)
	store.Inject(nil)
}

func TestABrokerAloneSaysSo(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir(), "storage.shards=2")
	j := &joined{App: s.App}
	var st app.ClusterStatus
	if j.ask(t, http.MethodGet, "/v1/cluster", &st); !st.Alone || st.Shards != 2 || len(st.Unowned) != 0 || st.Moving != 0 || len(st.Brokers) != 1 || st.Brokers[0].Owned != 2 {
		t.Errorf("status is %+v", st)
	}
	var h app.ClusterHealth
	if j.ask(t, http.MethodGet, "/v1/cluster/health", &h); !h.Healthy || !h.Metadata.OK || !h.Objects.OK {
		t.Errorf("health is %+v", h)
	}
	var b app.ClusterBalance
	if j.ask(t, http.MethodGet, "/v1/cluster/balance", &b); len(b.Brokers) != 1 || b.Brokers[0].Shards != 2 || len(b.Moves) != 0 {
		t.Errorf("balance is %+v", b)
	}
	if code, body := j.ask(t, http.MethodPost, "/v1/cluster/drain/1", nil); code != http.StatusConflict || !strings.Contains(body, "alone") {
		t.Errorf("drain: %d %s", code, body)
	}
}

func TestOnlyLocalProgramsChangeAnything(t *testing.T) {
	t.Parallel()
	done := 0
	h := app.OnlyLocal(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		done++
		w.WriteHeader(http.StatusNoContent)
	}))
	for _, c := range []struct {
		from, host string
		header     []string
		want       int
	}{
		{"127.0.0.1:5000", "127.0.0.1:9644", nil, http.StatusNoContent},
		{"[::1]:5000", "localhost:9644", nil, http.StatusNoContent},
		{"127.0.0.1:5000", "127.0.0.1", nil, http.StatusNoContent},
		{"10.0.0.7:5000", "127.0.0.1:9644", nil, http.StatusForbidden},
		{"[fe80::1%eth0]:5000", "127.0.0.1:9644", nil, http.StatusForbidden},
		{"127.0.0.1:5000", "weir.example.com:9644", nil, http.StatusForbidden}, // a name that was made to mean this machine
		{"127.0.0.1:5000", "127.0.0.1:9644", []string{"X-Forwarded-For", "10.0.0.7"}, http.StatusForbidden},
		{"127.0.0.1:5000", "127.0.0.1:9644", []string{"Forwarded", "for=10.0.0.7"}, http.StatusForbidden},
		{"127.0.0.1:5000", "127.0.0.1:9644", []string{"Origin", "https://evil.example.com"}, http.StatusForbidden},
		{"127.0.0.1:5000", "127.0.0.1:9644", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"", "", nil, http.StatusForbidden},
	} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			before := done
			r := httptest.NewRequestWithContext(t.Context(), method, "http://x/v1/cluster/drain/1", http.NoBody)
			r.RemoteAddr, r.Host = c.from, c.host
			if c.header != nil {
				r.Header.Set(c.header[0], c.header[1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want || (done > before) != (c.want == http.StatusNoContent) {
				t.Errorf("%s from %q to %q with %v: %d, want %d", method, c.from, c.host, slices.Clone(c.header), w.Code, c.want)
			}
		}
	}
}

func TestHealthTellsOfALogWithoutRoom(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	j := &joined{done: make(chan error, 1)}
	j.App = app.New(app.Options{
		Values: values(t, "/weir", "auto.create.topics.enable=true"), Version: "test", Logger: slog.New(slog.DiscardHandler), FS: disk, Blob: blob.NewMem(), Meta: meta.NewMem(nil), NoRunFile: true,
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ready := make(chan struct{})
	go func() { j.done <- j.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-j.done:
		t.Fatalf("the server did not start: %v", err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-j.done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	var h app.ClusterHealth
	if j.ask(t, http.MethodGet, "/v1/cluster/health", &h); !h.Healthy || h.Disk == nil || h.Disk.Full {
		t.Fatalf("health is %+v", h)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(j.Addresses()["kafka"]), kgo.AllowAutoTopicCreation(), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	put := func() error {
		return cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: make([]byte, 500_000)}).FirstErr()
	}
	for put() != nil { // until the topic is there
		if ctx.Err() != nil || t.Context().Err() != nil {
			t.Fatal("no record is taken")
		}
	}
	disk.SetFreeBytes(0)
	for put() == nil { // what was prepared is used up
	}
	j.ask(t, http.MethodGet, "/v1/cluster/health", &h)
	if h.Healthy || !h.Disk.Full || len(h.Problems) != 1 || !strings.Contains(h.Problems[0], "producers are refused") {
		t.Errorf("health is %+v", h)
	}
}
