package app_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// rawConn speaks to a listener byte by byte.
type rawConn struct {
	net.Conn
	t *testing.T
}

func dialRaw(t *testing.T, address string) rawConn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return rawConn{c, t}
}

func (c rawConn) request(req kmsg.Request) {
	c.bytes(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1))
}

// frame sends bytes as a frame.
func (c rawConn) frame(b []byte) {
	c.bytes(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
}

func (c rawConn) bytes(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Logf("send: %v", err) // the broker may have closed already; the answer shows
	}
}

// answer reads a frame; false: the broker closed the connection.
func (c rawConn) answer() ([]byte, bool) {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			c.t.Error("the connection stays open and says nothing")
		}
		return nil, false
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	return b, true
}

func handshake(version int16, mechanism string) kmsg.Request {
	h := kmsg.NewPtrSASLHandshakeRequest()
	h.Version, h.Mechanism = version, mechanism
	return h
}

func TestLittleMayBeAskedBeforeTheLogin(t *testing.T) {
	t.Parallel()
	s := secured(t, newAuthority(t), nil)
	address := s.Addresses()["kafka.sasl_plaintext"]
	versions := kmsg.NewPtrApiVersionsRequest()
	for name, f := range map[string]struct {
		talk    func(c rawConn)
		answers int
	}{
		"metadata":                 {func(c rawConn) { c.request(kmsg.NewPtrMetadataRequest()) }, 0},
		"versions, metadata":       {func(c rawConn) { c.request(versions); c.request(kmsg.NewPtrMetadataRequest()) }, 1},
		"handshake, metadata":      {func(c rawConn) { c.request(handshake(1, "PLAIN")); c.request(kmsg.NewPtrMetadataRequest()) }, 1},
		"handshake, versions":      {func(c rawConn) { c.request(handshake(1, "PLAIN")); c.request(versions) }, 1},
		"two handshakes":           {func(c rawConn) { c.request(handshake(1, "PLAIN")); c.request(handshake(1, "PLAIN")) }, 1},
		"authenticate at once":     {func(c rawConn) { c.request(kmsg.NewPtrSASLAuthenticateRequest()) }, 0},
		"gssapi":                   {func(c rawConn) { c.request(handshake(1, "GSSAPI")) }, 1},
		"large frame":              {func(c rawConn) { c.bytes(binary.BigEndian.AppendUint32(nil, 64<<10+1)) }, 0},
		"giant frame":              {func(c rawConn) { c.bytes([]byte{0x7f, 0xff, 0xff, 0xff}) }, 0},
		"negative frame":           {func(c rawConn) { c.bytes([]byte{0xff, 0xff, 0xff, 0xff}) }, 0},
		"raw token":                {func(c rawConn) { c.request(handshake(0, "PLAIN")); c.frame([]byte("\x00admin\x00wrong")) }, 1},
		"raw garbage":              {func(c rawConn) { c.request(handshake(0, "SCRAM-SHA-256")); c.frame([]byte("\xff\x00n,,")) }, 1},
		"raw token of no bytes":    {func(c rawConn) { c.request(handshake(0, "OAUTHBEARER")); c.frame(nil) }, 1},
		"tls on a listener of not": {func(c rawConn) { c.bytes([]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 0}) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dialRaw(t, address)
			f.talk(c)
			for i := range f.answers {
				if _, ok := c.answer(); !ok {
					t.Fatalf("closed after %d answers, want %d", i, f.answers)
				}
			}
			if b, ok := c.answer(); ok {
				t.Errorf("answered with %x, want the end", b)
			}
		})
	}
}

func TestRawTokensLogIn(t *testing.T) {
	t.Parallel()
	s := secured(t, newAuthority(t), nil)
	c := dialRaw(t, s.Addresses()["kafka.sasl_plaintext"])
	c.request(handshake(0, "PLAIN"))
	if _, ok := c.answer(); !ok {
		t.Fatal("no answer to the handshake")
	}
	c.frame([]byte("\x00admin\x00admin-secret"))
	if b, ok := c.answer(); !ok || len(b) != 0 {
		t.Fatalf("token answered with %x, %v", b, ok)
	}
	req := kmsg.NewPtrMetadataRequest()
	c.request(req)
	if b, ok := c.answer(); !ok || len(b) < 20 {
		t.Fatalf("metadata answered with %x, %v", b, ok)
	}
}

// TestGarbageBeforeTheLoginHarmsNobody sends random frames to listeners with and without TLS; a client logs in after them.
func TestGarbageBeforeTheLoginHarmsNobody(t *testing.T) {
	t.Parallel()
	s := secured(t, newAuthority(t), nil)
	at := s.Addresses()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		for _, name := range []string{"kafka.sasl_plaintext", "kafka.sasl_ssl"} {
			c := dialRaw(t, at[name])
			b := make([]byte, r.IntN(200))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			if r.IntN(2) == 0 {
				c.request(handshake(int16(r.IntN(2)), "SCRAM-SHA-512"))
			}
			c.frame(b)
			c.Close()
		}
	}
	properties := login("SCRAM-SHA-512", "admin", "admin-secret")
	properties["security.protocol"] = "SASL_PLAINTEXT"
	if err := connect(t, at["kafka.sasl_plaintext"], properties).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
