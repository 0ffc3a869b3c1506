//go:build fault

package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// brokerBinary returns the path of the broker to test.
func brokerBinary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("TEST_BINARY")
	if path == "" {
		t.Fatal("set TEST_BINARY to the path of a built weir")
	}
	return path
}

// number returns the environment variable name as a number, or def.
func number(t *testing.T, name string, def uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// random returns a generator whose seed is printed and can be set with FAULT_SEED.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := number(t, "FAULT_SEED", uint64(time.Now().UnixNano()))
	t.Logf("FAULT_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// start starts a broker that ends with the test; its log is shown if the test fails.
func start(t *testing.T, data, listen string) *Broker {
	t.Helper()
	b, err := Start(context.WithoutCancel(t.Context()), brokerBinary(t), data, listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		last := b.Running()
		b.Kill()
		if t.Failed() && last {
			t.Logf("the end of the broker's log:\n%s", b.LogTail())
		}
	})
	return b
}

// freeAddress returns an address that nothing listens on. Its port lies below those that the system gives to clients:
// among those, a client that tries to reach a broker that is down may one day connect to itself, and hold the port.
func freeAddress(t *testing.T, rng *rand.Rand) string {
	t.Helper()
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rng.IntN(12000))
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return addr
	}
}

// load is a set of producers and consumers on a topic that run until stop.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex

	errs []error
}

func startLoad(t *testing.T, addr, topic string, partitions int32, perTick int, rng *rand.Rand, h *History) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	t.Cleanup(cancel)
	note := func(err error) {
		if err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.errs = append(l.errs, err)
		}
	}
	for i := range 3 {
		r := rand.New(rand.NewPCG(rng.Uint64(), 2))
		l.wg.Go(func() { note(produce(ctx, addr, topic, fmt.Sprintf("p%d", i), partitions, perTick, r, h)) })
	}
	for i := range 2 {
		l.wg.Go(func() { note(tail(ctx, addr, topic, fmt.Sprintf("c%d", i), partitions, h)) })
	}
	return l
}

// stop ends the load, waits for what producers still have to send, and reports what went wrong.
func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.wg.Wait()
	for _, err := range l.errs {
		t.Error(err)
	}
}

// readAll reads the topic and adds the reading to the history.
func readAll(t *testing.T, b *Broker, topic string, partitions int32, h *History, mustHave map[Place]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := read(ctx, b.Kafka, topic, partitions, mustHave)
	if err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	h.Add(r)
}

// TestNothingAcknowledgedIsLostByKill kills the broker with SIGKILL again and again under idempotent producers and
// tailing consumers that live on, and reads everything after each restart.
func TestNothingAcknowledgedIsLostByKill(t *testing.T) {
	const topic, partitions = "kill", int32(5)
	rng, h, data := random(t), NewHistory(), filepath.Join(t.TempDir(), "data")
	b := start(t, data, freeAddress(t, rng))
	if err := createTopic(t.Context(), b.Kafka, topic, partitions); err != nil {
		t.Fatal(err)
	}
	l := startLoad(t, b.Kafka, topic, partitions, 10, rng, h)
	var slowest time.Duration
	rounds := number(t, "FAULT_ROUNDS", 12)
	for range rounds {
		if err := pause(t.Context(), time.Duration(100+rng.IntN(1400))*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		b.Kill()
		mustHave := h.AckedNow()
		b = start(t, data, b.Kafka)
		slowest = max(slowest, b.Started)
		readAll(t, b, topic, partitions, h, mustHave)
	}
	l.stop(t)
	b.Kill()
	b = start(t, data, b.Kafka)
	readAll(t, b, topic, partitions, h, h.AckedNow())
	for _, s := range h.Check() {
		t.Error(s)
	}
	t.Logf("%d kills, %d values acknowledged, slowest start %v", rounds+1, h.AckedCount(), slowest)
}

// TestTermUnderLoadStopsSoonAndLosesNothing stops the broker with SIGTERM under load, a few times.
func TestTermUnderLoadStopsSoonAndLosesNothing(t *testing.T) {
	const topic, partitions = "term", int32(3)
	rng, h, data := random(t), NewHistory(), filepath.Join(t.TempDir(), "data")
	b := start(t, data, freeAddress(t, rng))
	if err := createTopic(t.Context(), b.Kafka, topic, partitions); err != nil {
		t.Fatal(err)
	}
	l := startLoad(t, b.Kafka, topic, partitions, 50, rng, h)
	for range 3 {
		if err := pause(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		took, err := b.Stop(20 * time.Second)
		if err != nil || took > 5*time.Second {
			t.Errorf("SIGTERM took %v: %v", took, err)
		}
		mustHave := h.AckedNow()
		b = start(t, data, b.Kafka)
		t.Logf("stopped in %v, started in %v", took, b.Started)
		readAll(t, b, topic, partitions, h, mustHave)
	}
	l.stop(t)
	readAll(t, b, topic, partitions, h, h.AckedNow())
	for _, s := range h.Check() {
		t.Error(s)
	}
}
