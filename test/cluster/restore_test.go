//go:build clusterchaos && linux

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weir-stream/weir/internal/base/servertest"
)

// weir runs the binary with a command and returns what it prints.
func (c *nodes) weir(args ...string) (string, error) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), os.Getenv("TEST_BINARY"), args...) //nolint:gosec // the binary under test
	out, err := cmd.CombinedOutput()
	c.note("weir %s: %v\n%s", strings.Join(args[:2], " "), err, out)
	return string(out), err
}

// snapshot saves what etcd holds, as etcdctl snapshot save does.
func (c *nodes) snapshot(endpoint string) string {
	c.t.Helper()
	cl, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	name := filepath.Join(c.t.TempDir(), "meta.db")
	from, err := cl.Snapshot(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	to, err := os.Create(name) //nolint:gosec // a path of ours
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close(), from.Close(), cl.Close()); err != nil {
		c.t.Fatal(err)
	}
	return name
}

// restored starts an etcd over a snapshot, made as docs/ops/etcd.md says.
func (c *nodes) restored(snapshot string) (endpoint string) {
	c.t.Helper()
	data := filepath.Join(c.t.TempDir(), "etcd")
	out, err := exec.CommandContext(c.t.Context(), os.Getenv("TEST_ETCDUTL"), "snapshot", "restore", snapshot, "--bump-revision", "1000000000", "--mark-compacted", "--data-dir", data).CombinedOutput() //nolint:gosec // a binary of the tests
	if err != nil {
		c.t.Fatalf("etcdutl: %v\n%s", err, out)
	}
	endpoint, _ = servertest.StartEtcd(c.t, "--name", "default", "--data-dir", data)
	return endpoint
}

// moveTo gives every broker, none of which runs, another etcd.
func (c *nodes) moveTo(endpoint string) {
	c.t.Helper()
	for _, b := range c.all {
		old := b.etcd
		link, err := NewLink(c.t.Context(), strings.TrimPrefix(endpoint, "http://"))
		if err := errors.Join(err, old.Close()); err != nil {
			c.t.Fatal(err)
		}
		b.etcd = link
	}
}

func (c *nodes) killEverything() {
	for _, b := range c.all {
		b.broker.Kill()
	}
	c.etcd.Kill()
}

// backedUp waits until copies of the metadata were made that are younger than now.
func (c *nodes) backedUp() {
	c.t.Helper()
	since := time.Now()
	for range 300 {
		out, err := c.weir("backup", "list", "--blob", c.s3.URL("data"), "-o", "json")
		var list []struct{ Time time.Time }
		if err == nil && json.Unmarshal([]byte(out), &list) == nil && len(list) > 0 && list[len(list)-1].Time.After(since) {
			return
		}
		c.rest(200 * time.Millisecond)
	}
	c.t.Fatal("no copy of the metadata is made")
}

// A cluster with encryption at rest loses its etcd: what acknowledged it comes back from the bucket alone, and from a snapshot that is new enough; one
// that is not is refused.
func TestClusterIsRestored(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	c := start(t, 3, append(restless(), "--encryption-key", "file:"+key, "--set", "storage.checkpoint.interval.ms=2000", "--set", "storage.backup.interval.ms=1000",
		"--set", "authorizer.class.name=weir", "--set", "super.users=User:ANONYMOUS", "--set", "log.cleaner.backoff.ms=500", "--set", "group.initial.rebalance.delay.ms=0")...)
	ctx := t.Context()
	x := newTreasure(t, c.bootstrap())
	x.begin(ctx)
	x.write(ctx)
	c.backedUp()
	old := c.snapshot("http://" + c.all[0].etcd.target)
	x.write(ctx)
	c.rest(6 * time.Second) // checkpoints, and deletions of what they replace
	x.write(ctx)            // younger than the last of them
	c.killEverything()
	c.note("all brokers and etcd are killed")

	c.moveTo(c.restored(old))
	err := c.run(c.all[0])
	if err == nil {
		select {
		case <-c.all[0].broker.Exited():
			err = errors.New(c.all[0].broker.LogTail())
		case <-time.After(30 * time.Second):
			t.Fatal("a broker runs on a snapshot that is older than the bucket")
		}
	}
	if !strings.Contains(err.Error(), "the metadata store is older than the object store") || !strings.Contains(err.Error(), "weir backup restore") {
		t.Errorf("on an old snapshot a broker says: %v", err)
	}

	endpoint, ctl := servertest.StartEtcd(t)
	c.etcd = ctl
	at := time.Now()
	out, err := c.weir("backup", "restore", "--blob", c.s3.URL("data"), "--meta", "etcd://"+strings.TrimPrefix(endpoint, "http://")+"/weir", "--encryption-key", "file:"+key, "-o", "json")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r struct {
		Shards int `json:"shards"`
		Whole  int `json:"whole_shards"`
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Shards != r.Whole || r.Shards == 0 {
		t.Errorf("restored %s, %v; want whole shards", out, err)
	}
	c.again(endpoint)
	x.check(ctx)
	t.Logf("FIGURE from the bucket alone: everything was read %.1f s after the restore began, of %d shards", time.Since(at).Seconds(), r.Shards)
	x.write(ctx)
	x.check(ctx)
	where := []string{"--blob", c.s3.URL("data"), "--meta", "etcd://" + strings.TrimPrefix(endpoint, "http://") + "/weir"}
	if out, err := c.weir(append([]string{"cluster", "scrub", "--quiet", "--delete-orphans", "--encryption-key", "file:" + key}, where...)...); err != nil {
		t.Errorf("scrub: %v\n%s", err, out)
	}
	if out, err := c.weir(append([]string{"backup", "create"}, where...)...); err != nil {
		t.Errorf("backup: %v\n%s", err, out)
	}
	x.write(ctx)
	for _, b := range c.all {
		if _, err := b.broker.Stop(stopLimit); err != nil {
			t.Error(err)
		}
	}
	last := c.snapshot(endpoint)
	ctl.Kill()
	c.again(c.restored(last))
	x.check(ctx)
	x.write(ctx)
	x.check(ctx)
}

// again starts all brokers on an etcd.
func (c *nodes) again(endpoint string) {
	c.t.Helper()
	c.moveTo(endpoint)
	for _, b := range c.all {
		c.restart(b)
	}
	c.note("all brokers run on %s", fmt.Sprint(endpoint))
}
