package broker

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/feature"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/broker/topics"
)

// newTestBroker returns a broker without storage, which is enough for ApiVersions.
func newTestBroker(t *testing.T, set ...string) *Broker {
	t.Helper()
	keys := append(topics.Settings(), RequestBytesMax, QueuedBytesMax, ConnectionsMax, ConnectionsMaxPerIP, ConnectionsMaxIdle, ConnectionRateMax,
		api.FetchMaxBytes, api.FetchSessionSlots, api.AutoCreateTopics)
	schema, err := config.NewSchema(keys...)
	if err != nil {
		t.Fatal(err)
	}
	values, err := schema.Load(config.Sources{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	store, err := topics.Open(t.Context(), meta.NewMem(nil), topics.Options{Values: values})
	if err != nil {
		t.Fatal(err)
	}
	quotas := quota.New(values)
	server := api.New(api.Options{Topics: store, Quotas: quotas, Features: feature.NewSet(store, 1, api.Serves), Now: time.Now, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	return New(Options{API: server, Quotas: quotas, Values: values, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
}

// client is the other end of a connection that is being served. It must be used in a synctest bubble.
type client struct {
	net.Conn
	t      *testing.T
	broker *Broker
	c      *connection
}

// connect has a connection served, or returns nil if the broker turns it away.
func (b *Broker) connect(t *testing.T) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	c := b.admit(theirs, Listener{Name: "TEST"})
	if c == nil {
		return nil
	}
	go c.serve(t.Context(), t.Context())
	cl := &client{Conn: ours, t: t, broker: b, c: c}
	t.Cleanup(func() {
		ours.Close()
		<-c.done
	})
	return cl
}

// versionsRequest is a frame that asks for the versions.
func versionsRequest(correlation uint32) []byte {
	req := kmsg.NewPtrApiVersionsRequest()
	b := binary.BigEndian.AppendUint32(nil, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(kmsg.ApiVersions))
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, correlation)
	b = binary.BigEndian.AppendUint16(b, 0xffff) // no client id
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// answer reads one answer and returns its correlation id.
func (c *client) answer() uint32 {
	c.t.Helper()
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		c.t.Fatalf("read answer: %v", err)
	}
	if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[:]))-4); err != nil {
		c.t.Fatalf("read answer: %v", err)
	}
	return binary.BigEndian.Uint32(head[4:])
}

// counted returns the value of a counter of the broker, of all labels or of the one with the given value.
func (b *Broker) counted(t *testing.T, name, label string) (sum float64) {
	t.Helper()
	families, err := b.o.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// served tells whether the broker still serves the connection, once all is quiet.
func (c *client) served() bool {
	synctest.Wait()
	select {
	case <-c.c.done:
		return false
	default:
		return true
	}
}

func (c *client) mustEnd(why string) {
	c.t.Helper()
	if c.served() {
		c.t.Fatal("the connection is still served")
	}
	if c.broker.counted(c.t, "weir_broker_connections_closed_total", why) == 0 {
		c.t.Errorf("no connection ended for reason %q", why)
	}
	if used := c.broker.budget.Used(); used != 0 {
		c.t.Errorf("%d bytes of the budget are not given back", used)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		c.t.Error("there is still something to read")
	}
}

func TestRequestsThatComeTogetherAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestBroker(t).connect(t)
		const n = 200
		go func() {
			var all []byte
			for i := range uint32(n) {
				all = append(all, versionsRequest(i)...)
			}
			c.Write(all) //nolint:errcheck // the answers show
		}()
		for i := range uint32(n) {
			if got := c.answer(); got != i {
				t.Fatalf("answer %d is to request %d", i, got)
			}
		}
	})
}

func TestIdleConnectionIsClosedAfterItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestBroker(t, "connections.max.idle.ms=60000").connect(t)
		c.send(versionsRequest(1)) // before it there is less time
		c.answer()
		for range 3 { // each request begins the time anew
			<-time.After(59 * time.Second)
			c.send(versionsRequest(1))
			c.answer()
		}
		<-time.After(59 * time.Second)
		if !c.served() {
			t.Fatal("closed too early")
		}
		<-time.After(2 * time.Second)
		c.mustEnd(reasonIdle)
	})
}

func TestClientThatSendsAFrameByDropsIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestBroker(t).connect(t)
		c.send(binary.BigEndian.AppendUint32(nil, 1<<20))
		start := time.Now()
		for {
			if _, err := c.Write([]byte{0}); err != nil {
				break
			}
			<-time.After(time.Second)
		}
		if took := time.Since(start); took > 2*frameTimeout {
			t.Errorf("it was cut off after %v", took)
		}
		c.mustEnd(reasonIdle)
	})
}

func TestClientThatReadsNoAnswerIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestBroker(t, "connections.max.idle.ms=90000").connect(t)
		c.send(versionsRequest(1))
		<-time.After(89 * time.Second)
		if !c.served() {
			t.Fatal("closed too early")
		}
		<-time.After(2 * time.Second)
		c.mustEnd(reasonIO)
	})
}

func TestFramesOutOfBoundsCloseTheConnection(t *testing.T) {
	t.Parallel()
	for _, size := range []uint32{1025, 1 << 31, 1<<32 - 1} {
		synctest.Test(t, func(t *testing.T) {
			c := newTestBroker(t, "socket.request.max.bytes=1024").connect(t)
			c.send(binary.BigEndian.AppendUint32(nil, size))
			c.mustEnd(reasonProtocol)
		})
	}
}

func TestRequestsThatAreNotServedCloseTheConnectionAfterTheAnswersBefore(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(frame []byte) []byte{
		"unknown key":         func(f []byte) []byte { f[4] = 0x70; return f },
		"unserved version":    func(f []byte) []byte { f[5] = 1; return f }, // Fetch v0
		"header that is cut":  func([]byte) []byte { return []byte{0, 0, 0, 3, 0, 18, 0} },
		"frame of no bytes":   func([]byte) []byte { return []byte{0, 0, 0, 0} },
		"client id too long":  func(f []byte) []byte { f[12], f[13] = 0x7f, 0xff; return f },
		"request that is cut": func([]byte) []byte { return []byte{0, 0, 0, 11, 0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0} },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newTestBroker(t).connect(t)
			frames := slices.Concat(versionsRequest(7), change(versionsRequest(8)))
			go c.Write(frames) //nolint:errcheck // the answers show
			if got := c.answer(); got != 7 {
				t.Errorf("%s: the answer is to request %d", name, got)
			}
			c.mustEnd(reasonProtocol)
		})
	}
}

func TestClientThatLeavesWithinAFrameLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for n := 1; n < len(versionsRequest(1)); n++ {
		synctest.Test(t, func(t *testing.T) {
			b := newTestBroker(t)
			c := b.connect(t)
			c.send(versionsRequest(1)[:n])
			c.Close()
			if c.served() {
				t.Fatal("the connection is still served")
			}
			if used := b.budget.Used(); used != 0 || len(b.open) != 0 || len(b.byIP) != 0 {
				t.Errorf("after %d bytes: %d bytes, %d connections, %d addresses are left", n, used, len(b.open), len(b.byIP))
			}
		})
	}
}

func TestConnectionsBeyondALimitAreTurnedAway(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"max.connections=2", "max.connections.per.ip=2"} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestBroker(t, setting)
			first, second := b.connect(t), b.connect(t)
			if first == nil || second == nil || b.connect(t) != nil {
				t.Fatalf("%s: the limit is another", setting)
			}
			if n := b.counted(t, "weir_broker_connections_refused_total", ""); n != 1 {
				t.Errorf("%s: %v connections were refused", setting, n)
			}
			first.Close()
			synctest.Wait()
			if b.connect(t) == nil {
				t.Errorf("%s: the place of a client that left is not free", setting)
			}
		})
	}
}

func TestDrainAnswersWhatWasRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t)
		c, quiet := b.connect(t), b.connect(t)
		c.send(versionsRequest(1))
		synctest.Wait() // the answer waits for its reader
		go b.drain()
		synctest.Wait()
		if quiet.served() {
			t.Error("a connection without requests was not closed at once")
		}
		if got := c.answer(); got != 1 {
			t.Errorf("the answer is to request %d", got)
		}
		c.mustEnd(reasonShutdown)
	})
}

func TestWhoSaysNothingIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, first := range map[string][]byte{"nothing": nil, "half a size": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestBroker(t)
				silent, speaks := b.connect(t), b.connect(t)
				if first != nil {
					silent.send(first)
				}
				speaks.send(versionsRequest(1))
				speaks.answer()
				began := time.Now()
				if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("got %v, want the end", err)
				}
				if waited := time.Since(began); waited > auth.LoginTimeout {
					t.Errorf("closed after %v, want %v", waited, auth.LoginTimeout)
				}
				<-time.After(time.Minute) // who has spoken may be silent
				speaks.send(versionsRequest(2))
				if got := speaks.answer(); got != 2 {
					t.Errorf("answered %d, want 2", got)
				}
			})
		})
	}
}
