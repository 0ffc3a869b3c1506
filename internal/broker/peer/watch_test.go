package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/cluster"
)

// neighbours is a network of brokers whose connections and ports the test breaks.
type neighbours struct {
	mu       sync.Mutex
	dials    map[string]error // by host: what an attempt to connect gives
	up       map[string]chan struct{}
	last     map[string]int // by host: attempts that succeed all the same
	expelled []string
	during   func(context.Context) error // an expulsion
}

var errRefused = &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}

func (n *neighbours) dial(_ context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.dials[host]; err != nil && n.last[host] == 0 {
		return nil, err
	}
	n.last[host] = max(0, n.last[host]-1)
	here, there := net.Pipe()
	return here, there.Close()
}

func (n *neighbours) hold(ctx context.Context, e cluster.Endpoint) error {
	n.mu.Lock()
	err := n.dials[e.Host]
	broken := make(chan struct{})
	n.up[e.Host] = broken
	n.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-broken:
	case <-ctx.Done():
	}
	return nil
}

// breaks ends the connections to brokers; attempts to connect to them give err from then on.
func (n *neighbours) breaks(err error, hosts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range hosts {
		n.dials[h] = err
		if up := n.up[h]; up != nil {
			close(up)
			n.up[h] = nil
		}
	}
}

func (n *neighbours) expel(ctx context.Context, broker int32, process string) (bool, error) {
	if n.during != nil {
		if err := n.during(ctx); err != nil {
			return false, err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expelled = append(n.expelled, fmt.Sprintf("%d %s", broker, process))
	return true, nil
}

func (n *neighbours) list() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprint(n.expelled)
}

func host(id int32) string { return fmt.Sprintf("h%d", id) }

func among(self int32, ids ...int32) *cluster.View {
	v := &cluster.View{Self: self, Controller: cluster.Nobody}
	for _, id := range ids {
		v.Brokers = append(v.Brokers, cluster.Broker{ID: id, Process: "p", Incarnation: 1, Endpoints: []cluster.Endpoint{{Listener: Listener, Host: host(id), Port: 1}}})
	}
	return v
}

// watching runs f with the watch of broker 1 among brokers 1 to 3, which are connected.
func watching(t *testing.T, f func(t *testing.T, n *neighbours, d *cluster.Directory)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &neighbours{dials: map[string]error{}, last: map[string]int{}, up: map[string]chan struct{}{}}
		d := cluster.NewDirectory(1)
		d.Publish(among(1, 1, 2, 3))
		w := NewWatch(New(Options{Directory: d, Dial: n.dial, Logger: slog.New(slog.DiscardHandler)}), n.expel)
		w.hold = n.hold
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx, func() {}) }()
		synctest.Wait()
		f(t, n, d)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWatchExpelsWhoRefusesConnections(t *testing.T) {
	watching(t, func(t *testing.T, n *neighbours, _ *cluster.Directory) {
		n.breaks(errRefused, host(2))
		<-time.After(200 * time.Millisecond)
		if got := n.list(); got != "[2 p]" {
			t.Fatalf("expelled %s, want broker 2", got)
		}
		// It lives all the same, and is connected to again: what breaks now is for its lease.
		n.breaks(nil, host(2))
		<-time.After(2 * watchAgain)
		n.breaks(errRefused, host(2))
		<-time.After(time.Minute)
		if got := n.list(); got != "[2 p]" {
			t.Errorf("expelled %s, want broker 2 once", got)
		}
	})
}

// The port of a process that is killed accepts connections for a moment after those that it had are closed, and then closes them.
func TestWatchExpelsWhoRefusesConnectionsALittleLater(t *testing.T) {
	watching(t, func(t *testing.T, n *neighbours, _ *cluster.Directory) {
		n.mu.Lock()
		n.last[host(2)] = 1
		n.mu.Unlock()
		n.breaks(fmt.Errorf("log in: %w", io.EOF), host(2))
		<-time.After(20 * time.Millisecond)
		n.breaks(errRefused, host(2))
		<-time.After(200 * time.Millisecond)
		if got := n.list(); got != "[2 p]" {
			t.Errorf("expelled %s, want broker 2", got)
		}
	})
}

// That a broker is gone from the view, which ends the watch on it, does not interrupt its expulsion.
func TestWatchFinishesAnExpulsion(t *testing.T) {
	watching(t, func(t *testing.T, n *neighbours, d *cluster.Directory) {
		n.during = func(ctx context.Context) error {
			d.Publish(among(1, 1, 3))
			<-time.After(time.Second)
			return ctx.Err()
		}
		n.breaks(errRefused, host(2))
		<-time.After(2 * time.Second)
		if got := n.list(); got != "[2 p]" {
			t.Errorf("expelled %s, want broker 2", got)
		}
	})
}

func TestWatchExpelsTheNextProcessToo(t *testing.T) {
	watching(t, func(t *testing.T, n *neighbours, d *cluster.Directory) {
		n.breaks(errRefused, host(2))
		<-time.After(time.Second)
		d.Publish(among(1, 1, 3))
		synctest.Wait()
		n.breaks(nil, host(2))
		next := among(1, 1, 2, 3)
		next.Brokers[1].Process = "q"
		d.Publish(next)
		<-time.After(10 * time.Second)
		n.breaks(errRefused, host(2))
		<-time.After(time.Second)
		if got := n.list(); got != "[2 p 2 q]" {
			t.Errorf("expelled %s, want both processes of broker 2", got)
		}
	})
}

func TestWatchLeavesToTheLease(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*neighbours, *cluster.Directory){
		"a connection that breaks": func(n *neighbours, _ *cluster.Directory) { n.breaks(nil, host(2)) },
		"a host that is silent":    func(n *neighbours, _ *cluster.Directory) { n.breaks(context.DeadlineExceeded, host(2)) },
		"a host that is not there": func(n *neighbours, _ *cluster.Directory) { n.breaks(errors.New("no route to host"), host(2)) },
		"a host that is silent, and then refuses": func(n *neighbours, _ *cluster.Directory) {
			n.breaks(context.DeadlineExceeded, host(2))
			<-time.After(10 * time.Second)
			n.breaks(errRefused, host(2))
		},
		"several that refuse": func(n *neighbours, _ *cluster.Directory) { n.breaks(errRefused, host(2), host(3)) },
		"one that nobody connected to": func(n *neighbours, d *cluster.Directory) {
			n.breaks(errRefused, host(4))
			d.Publish(among(1, 1, 2, 3, 4))
		},
		"one that drains": func(n *neighbours, d *cluster.Directory) {
			v := among(1, 1, 2, 3)
			v.Brokers[1].Draining = true
			d.Publish(v)
			synctest.Wait()
			n.breaks(errRefused, host(2))
		},
	} {
		t.Run(name, func(t *testing.T) {
			watching(t, func(t *testing.T, n *neighbours, d *cluster.Directory) {
				breaks(n, d)
				<-time.After(time.Minute)
				if got := n.list(); got != "[]" {
					t.Errorf("expelled %s", got)
				}
			})
		})
	}
}

func TestWatchedAreTheNextThree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		self int32
		ids  []int32
		want []int32
	}{
		{1, []int32{1}, nil},
		{1, []int32{1, 2}, []int32{2}},
		{2, []int32{1, 2, 3}, []int32{1, 3}},
		{4, []int32{1, 2, 4, 6, 9, 12}, []int32{6, 9, 12}},
		{9, []int32{1, 2, 4, 6, 9, 12}, []int32{12, 1, 2}},
		{12, []int32{1, 2, 4, 6, 9, 12}, []int32{1, 2, 4}},
	} {
		got := watched(among(c.self, c.ids...))
		for _, id := range c.want {
			if !got[life{id, "p", cluster.Endpoint{Listener: Listener, Host: host(id), Port: 1}}] {
				t.Errorf("%d of %v does not watch %d", c.self, c.ids, id)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%d of %v watches %d, want %v", c.self, c.ids, len(got), c.want)
		}
	}
}
