//go:build cluster && linux

package etcd

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands between a store and etcd, and fails them.
type proxy struct {
	target string
	l      net.Listener
	wg     sync.WaitGroup

	mu    sync.Mutex
	rng   *rand.Rand
	conns map[net.Conn]bool
	deaf  bool // nothing passes, and nobody is told
	shut  bool
	// flaky: after a random number of answers' bytes, the answers are swallowed for a while and the connection is cut.
	flaky bool
}

func startProxy(t *testing.T, target string, seed uint64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: target, l: l, rng: rand.New(rand.NewPCG(seed, 2)), conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.shut = true
		p.mu.Unlock()
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) endpoint() string { return "http://" + p.l.Addr().String() }

// set changes how connections are treated from now on.
func (p *proxy) set(deaf, flaky bool) {
	p.mu.Lock()
	p.deaf, p.flaky = deaf, flaky
	p.mu.Unlock()
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		if p.shut {
			_, _ = in.Close(), out.Close()
		}
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(in, out, false) })
		p.wg.Go(func() { p.pass(out, in, true) })
	}
}

// plan draws how many bytes of answers pass before they are swallowed, and for how long.
func (p *proxy) plan(answers bool) (after int, silence time.Duration, deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !answers || !p.flaky {
		return 1 << 30, 0, p.deaf
	}
	return p.rng.IntN(6000), time.Duration(p.rng.IntN(60)) * time.Millisecond, p.deaf
}

func (p *proxy) pass(from, to net.Conn, answers bool) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4096)
	left, silence, _ := p.plan(answers)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, _, deaf := p.plan(false); deaf {
			continue
		}
		if left -= n; left < 0 {
			if p.isFlaky() {
				_ = from.SetReadDeadline(time.Now().Add(silence))
				_, _ = io.Copy(io.Discard, from)
				return
			}
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) isFlaky() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flaky
}
