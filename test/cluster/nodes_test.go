//go:build clusterchaos && linux

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/servertest"
	"github.com/weir-stream/weir/test/fault"
)

const (
	lease     = 5 * time.Second  // the default of cluster.lease.ms
	stopLimit = 20 * time.Second // from SIGTERM to the end of a process
)

// node is a broker of the cluster with its proxies.
type node struct {
	id      int
	addr    string
	etcd    *Link
	gate    *Gate // between etcd's link and etcd, at times
	s3      *Gateway
	broker  *fault.Broker
	stopped bool // by SIGSTOP
}

// nodes are a cluster: brokers, etcd and S3 server. The test's goroutine changes it.
type nodes struct {
	t      *testing.T
	rng    *rand.Rand
	dir    string // data folders and logs of the brokers
	began  time.Time
	etcd   *servertest.Server
	s3     *servertest.S3
	recent *Recent  // changes of the bucket
	meta   string   // where brokers find etcd, if not by their links
	more   []string // arguments of every broker
	// length is for how long faults are made.
	length time.Duration
	all    []*node

	mu  sync.Mutex
	log []string
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// start starts a cluster of n brokers with more arguments. Everything ends with the test; the brokers' logs stay if it fails.
func start(t *testing.T, n int, more ...string) *nodes {
	t.Helper()
	endpoint, ctl := servertest.StartEtcd(t)
	c := startOn(t, n, "", endpoint, more...)
	c.etcd = ctl
	return c
}

// startOn does so with an etcd that runs. Brokers reach it by meta or, if that is empty, each by a link to the endpoint.
func startOn(t *testing.T, n int, meta, endpoint string, more ...string) *nodes {
	t.Helper()
	seed := number(t, "CHAOS_SEED", uint64(time.Now().UnixNano()))
	t.Logf("CHAOS_SEED=%d", seed)
	dir, err := os.MkdirTemp("", "weir-cluster-") //nolint:usetesting // it stays if the test fails
	if err != nil {
		t.Fatal(err)
	}
	c := &nodes{t: t, rng: rand.New(rand.NewPCG(seed, 1)), dir: dir, began: time.Now(), meta: meta, more: more, recent: NewRecent()}
	t.Cleanup(c.keepLogs)
	c.s3 = servertest.StartS3(t)
	t.Setenv("AWS_ACCESS_KEY_ID", c.s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", c.s3.SecretKey)
	for i := range n {
		c.add(i+1, strings.TrimPrefix(endpoint, "http://"))
	}
	var starting sync.WaitGroup
	for _, b := range c.all {
		starting.Go(func() {
			if err := c.run(b); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return c
}

// restless are arguments of brokers that give a broker which has come back its shards at once, so that it has some to lose.
func restless() []string {
	return []string{"--set", "cluster.balance.settle.ms=1000", "--set", "cluster.balance.cooldown.ms=1000"}
}

// add makes a node with its proxies. Its broker does not run yet.
func (c *nodes) add(id int, etcd string) {
	c.t.Helper()
	link, err := NewLink(c.t.Context(), etcd)
	if err != nil {
		c.t.Fatal(err)
	}
	gateway, err := NewGateway(c.t.Context(), c.s3.Endpoint, rand.New(rand.NewPCG(c.rng.Uint64(), 6)))
	if err != nil {
		c.t.Fatal(err)
	}
	gateway.Recent = c.recent
	gate, err := NewGate(c.t.Context(), etcd, rand.New(rand.NewPCG(c.rng.Uint64(), 7)))
	if err != nil {
		c.t.Fatal(err)
	}
	b := &node{id: id, addr: c.freeAddress(), etcd: link, gate: gate, s3: gateway}
	c.all = append(c.all, b)
	c.t.Cleanup(func() {
		if b.broker != nil {
			b.broker.Kill()
		}
		if err := errors.Join(b.etcd.Close(), gate.Close(), gateway.Close()); err != nil {
			c.t.Error(err)
		}
	})
}

// freeAddress returns an address below the ports that the system gives to clients, so that none takes it while a broker is down.
func (c *nodes) freeAddress() string {
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+c.rng.IntN(12000))
		if slices.ContainsFunc(c.all, func(b *node) bool { return b.addr == addr }) {
			continue
		}
		ln, err := new(net.ListenConfig).Listen(c.t.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			c.t.Fatal(err)
		}
		return addr
	}
}

// bootstrap is the addresses of all brokers.
func (c *nodes) bootstrap() string {
	var addrs []string
	for _, b := range c.all {
		addrs = append(addrs, b.addr)
	}
	return strings.Join(addrs, ",")
}

// arguments are those of a broker process with the id and the proxies of b.
func (c *nodes) arguments(b *node) []string {
	bucket := *c.s3
	bucket.Endpoint = b.s3.Endpoint()
	return append([]string{
		"--blob", bucket.URL("data"), "--meta", cmp.Or(c.meta, "etcd://"+b.etcd.Address()+"/weir"), "--set", fmt.Sprint("node.id=", b.id),
	}, c.more...)
}

// run starts a broker's process and returns when it is ready.
func (c *nodes) run(b *node) error {
	binary := os.Getenv("TEST_BINARY")
	if binary == "" {
		return errors.New("set TEST_BINARY to the path of a built weir")
	}
	p, err := fault.Start(context.WithoutCancel(c.t.Context()), binary, filepath.Join(c.dir, fmt.Sprintf("broker-%d", b.id)), b.addr, c.arguments(b)...)
	if err != nil {
		return fmt.Errorf("broker %d: %w", b.id, err)
	}
	b.broker, b.stopped = p, false
	return nil
}

// restart starts a broker that does not run. A start that fails fails the test, and is tried again.
func (c *nodes) restart(b *node) {
	for range 3 {
		err := c.run(b)
		if err == nil {
			c.note("broker %d is ready again", b.id)
			return
		}
		c.t.Error(err)
	}
	c.t.FailNow()
}

// stop freezes a broker, or lets it go on.
func (c *nodes) stop(b *node, stopped bool) {
	s := syscall.SIGCONT
	if stopped {
		s = syscall.SIGSTOP
	}
	if err := b.broker.Signal(s); err != nil {
		c.t.Error(err)
	}
	b.stopped = stopped
}

// note writes what was done, and when, for a test that fails.
func (c *nodes) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.log = append(c.log, fmt.Sprintf("%s %6.1f s  %s", now.Format("15:04:05.000"), now.Sub(c.began).Seconds(), fmt.Sprintf(format, args...)))
}

// keepLogs shows what was done and keeps the brokers' logs, if the test failed or CHAOS_KEEP is set.
func (c *nodes) keepLogs() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.t.Failed() || os.Getenv("CHAOS_KEEP") != "" {
		c.t.Logf("what was done:\n%s", strings.Join(c.log, "\n"))
		c.t.Logf("logs of the brokers: %s/broker-*.log", c.dir)
		return
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Error(err)
	}
}
