//go:build torture

package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/weir-stream/weir/test/fault"
)

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

// run is one torture of a broker.
type run struct {
	t      *testing.T
	rng    *rand.Rand
	binary string
	data   string
	addr   string
	broker *fault.Broker
	kills  int
}

func TestTransactionsSurviveKillsAndZombies(t *testing.T) {
	length := time.Duration(number(t, "TORTURE_SECONDS", 300)) * time.Second
	seed := number(t, "TORTURE_SEED", uint64(time.Now().UnixNano()))
	t.Logf("TORTURE_SEED=%d", seed)
	binary := os.Getenv("TEST_BINARY")
	if binary == "" {
		t.Fatal("set TEST_BINARY to the path of a built weir")
	}
	r := &run{t: t, rng: rand.New(rand.NewPCG(seed, 1)), binary: binary, data: filepath.Join(t.TempDir(), "data")}
	r.addr = r.freeAddress()
	r.start()
	t.Cleanup(func() { r.broker.Kill() })
	l := NewLoad(r.addr, r.rng)
	if err := l.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Begin(t.Context())
	t.Cleanup(l.Stop)
	r.kill(length)
	if err := l.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	r.judge(l.Check(), int(length/time.Second))
}

// freeAddress returns an address below the ports that the system gives to clients, so that none takes it while the broker
// is down.
func (r *run) freeAddress() string {
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+r.rng.IntN(12000))
		ln, err := new(net.ListenConfig).Listen(r.t.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			r.t.Fatal(err)
		}
		return addr
	}
}

func (r *run) start() {
	b, err := fault.Start(context.WithoutCancel(r.t.Context()), r.binary, r.data, r.addr, groupSettings()...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.broker = b
}

// kill kills the broker at random for so long, and leaves it running.
func (r *run) kill(length time.Duration) {
	end := time.After(length)
	for {
		// Mostly there is time for some transactions, and at times not even for a start.
		alive := time.Duration(500+r.rng.IntN(9000)) * time.Millisecond
		if r.rng.IntN(6) == 0 {
			alive = time.Duration(r.rng.IntN(300)) * time.Millisecond
		}
		select {
		case <-time.After(alive):
		case <-end:
			return
		}
		if !r.broker.Running() {
			r.t.Fatalf("the broker ended by itself:\n%s", r.broker.LogTail())
		}
		r.broker.Kill()
		r.kills++
		r.start()
	}
}

func (r *run) judge(got Result, seconds int) {
	r.t.Logf("%d kills", r.kills)
	for _, line := range got.Lines {
		r.t.Log(line)
	}
	for _, s := range got.Broken {
		r.t.Error(s)
	}
	for _, s := range got.TooFew(seconds, 1) {
		r.t.Errorf("invalid: too few %s", s)
	}
	if r.kills < seconds/15 {
		r.t.Errorf("invalid: %d kills in %d s", r.kills, seconds)
	}
}
