package broker

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/quota"
)

func TestAConnectionThatIsHeldStartsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t)
		c := b.connect(t)
		c.c.api.Hold(time.Now().Add(5 * time.Second))
		sent := time.Now()
		c.send(versionsRequest(1))
		c.answer()
		if waited := time.Since(sent); waited != 5*time.Second {
			t.Errorf("answered after %s, want 5s", waited)
		}
		c.send(versionsRequest(2))
		c.answer()
		if waited := time.Since(sent); waited != 5*time.Second {
			t.Errorf("the next was answered %s later", waited-5*time.Second)
		}
	})
}

func TestAClientThatLeavesWhileItIsHeldIsForgottenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestBroker(t).connect(t)
		c.c.api.Hold(time.Now().Add(time.Hour))
		synctest.Wait()
		c.Close()
		left := time.Now()
		<-c.c.done
		if waited := time.Since(left); waited > time.Second {
			t.Errorf("forgotten after %s", waited)
		}
	})
}

// TestAClientThatSendsWhileItIsHeldAndLeavesIsForgottenAsIdle: what it sent hides that it left.
func TestAClientThatSendsWhileItIsHeldAndLeavesIsForgottenAsIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t)
		c := b.connect(t)
		c.c.api.Hold(time.Now().Add(24 * time.Hour))
		began := time.Now()
		c.send(versionsRequest(1)[:4])
		c.Close()
		<-c.c.done
		if waited, idle := time.Since(began), ConnectionsMaxIdle.Get(b.o.Values); waited > idle {
			t.Errorf("forgotten after %s, want %s at most", waited, idle)
		}
	})
}

// pipes is a listener whose clients are pipes.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.done)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects and returns how long it took to be accepted, and for how long the connection then lived, up to an hour.
func (p *pipes) dial(t *testing.T) (accepted, lived time.Duration) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	began := time.Now()
	p.conns <- theirs
	accepted = time.Since(began)
	if err := ours.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Read(make([]byte, 1)); err == nil {
		t.Error("the broker spoke first")
	}
	return accepted, time.Since(began) - accepted
}

func listenOnPipes(t *testing.T, b *Broker) *pipes {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { b.accept(t.Context(), t.Context(), p, Listener{Name: "TEST"}, &wg) })
	t.Cleanup(func() {
		p.Close()
		wg.Wait()
	})
	return p
}

func TestConnectionsOverTheQuotaOfAnAddressAreClosedLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t)
		b.o.Quotas.Load([]quota.Entry{{Entity: quota.Entity{IP: quota.Any()}, Quotas: quota.Quotas{quota.ConnectionCreationRate: 0.1}}})
		p := listenOnPipes(t, b)
		if _, lived := p.dial(t); lived != auth.LoginTimeout { // it says nothing
			t.Errorf("the first connection lived for %s", lived)
		}
		b.o.Quotas.Load([]quota.Entry{{Entity: quota.Entity{IP: quota.Any()}, Quotas: quota.Quotas{quota.ConnectionCreationRate: 0.01}}})
		if _, lived := p.dial(t); lived != time.Second {
			t.Errorf("the second connection lived for %s, want 1s", lived)
		}
	})
}

func TestConnectionsOverTheBrokersRateWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t, "max.connection.creation.rate=1")
		p := listenOnPipes(t, b)
		began := time.Now()
		for range 20 {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { ours.Close() })
			p.conns <- theirs
		}
		if took := time.Since(began); took < 8*time.Second || took > 11*time.Second {
			t.Errorf("20 connections at one a second, after 10 at once, took %s", took)
		}
	})
}

func TestNothingIsReadAheadOfAClientThatIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t)
		c := b.connect(t)
		c.c.api.Hold(time.Now().Add(5 * time.Second))
		// The handler's connection is a pipe: a write returns when its last byte was read.
		var written [3]time.Duration
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range written {
				if _, err := c.Write(versionsRequest(uint32(i))); err != nil {
					t.Errorf("send: %v", err)
				}
				written[i] = time.Since(began)
			}
		})
		<-time.After(4 * time.Second)
		if used := b.budget.Used(); used != 0 {
			t.Errorf("%d bytes of a client that is held are kept", used)
		}
		for range written {
			c.answer()
		}
		wg.Wait()
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("answered after %s, want 5s", waited)
		}
	})
}

func TestAHeldConnectionThatMustEndDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestBroker(t).connect(t)
		c.c.api.Hold(time.Now().Add(time.Hour))
		go c.Write(versionsRequest(1)) //nolint:errcheck // the connection ends before it is read
		synctest.Wait()
		began := time.Now()
		c.c.stopReading()
		<-c.c.done
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("ended after %s", waited)
		}
	})
}
