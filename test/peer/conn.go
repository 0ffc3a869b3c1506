package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerTimeout is how long an answer may take. The longest wait a scene asks of a broker is a third of it.
const answerTimeout = time.Minute

// maxAnswerBytes bounds what is read as one answer.
const maxAnswerBytes = 64 << 20

// errClosed tells that the broker closed the connection instead of answering.
var errClosed = errors.New("closed")

// conn is a connection whose requests are answered in order.
type conn struct {
	nc          net.Conn
	clientID    string
	correlation int32
	waiting     []pending
}

// pending is a request that was sent and not answered yet.
type pending struct {
	correlation int32
	req         kmsg.Request // nil for raw bytes
	sent        time.Time
}

// otherHost is the name of the connections that come from another address of this machine, so that a scene can have access
// control entries for a host of its own.
const otherHost = "other"

func dial(ctx context.Context, addr, clientID string) (*conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	if strings.HasPrefix(clientID, otherHost) {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{nc: nc, clientID: clientID}, nil
}

// send writes req with any extra bytes at its end. An answer is not waited for.
func (c *conn) send(req kmsg.Request, extra []byte) error {
	c.correlation++
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.clientID))
	frame := append(f.AppendRequest(nil, req, c.correlation), extra...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4)) //nolint:gosec // a test frame
	c.waiting = append(c.waiting, pending{c.correlation, req, time.Now()})
	return c.write(frame)
}

func (c *conn) write(b []byte) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	_, err := c.nc.Write(b)
	return closedError(err)
}

// receive reads one frame, without its size.
func (c *conn) receive(limit time.Duration) ([]byte, error) {
	if err := c.nc.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return nil, closedError(err)
	}
	n := int32(binary.BigEndian.Uint32(size[:])) //nolint:gosec // a size on the wire
	if n < 4 || n > maxAnswerBytes {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c.nc, b)
	return b, closedError(err)
}

func closedError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) {
		return errClosed
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("no answer")
	}
	return err
}

// answer reads the answer of the oldest waiting request. notes tells what is odd about its bytes.
func (c *conn) answer() (resp kmsg.Response, took time.Duration, notes []string, err error) {
	if len(c.waiting) == 0 {
		return nil, 0, nil, errors.New("no request waits for an answer")
	}
	p := c.waiting[0]
	c.waiting = c.waiting[1:]
	b, err := c.receive(answerTimeout)
	if err != nil {
		return nil, time.Since(p.sent), nil, err
	}
	took = time.Since(p.sent)
	resp, notes, err = decode(p, b)
	return resp, took, notes, err
}

func decode(p pending, b []byte) (kmsg.Response, []string, error) {
	if got := int32(binary.BigEndian.Uint32(b)); got != p.correlation { //nolint:gosec // a number on the wire
		return nil, nil, fmt.Errorf("answer with correlation id %d instead of %d", got, p.correlation)
	}
	b = b[4:]
	if p.req == nil {
		return nil, []string{fmt.Sprintf("%d bytes", len(b))}, nil
	}
	resp := p.req.ResponseKind()
	isVersions := p.req.Key() == int16(kmsg.ApiVersions)
	if resp.IsFlexible() && !isVersions {
		if len(b) == 0 || b[0] != 0 {
			return nil, nil, errors.New("answer header with tagged fields")
		}
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		return nil, nil, fmt.Errorf("answer of %d bytes: %w", len(b), err)
	}
	var notes []string
	if again := resp.AppendTo(nil); !bytes.Equal(again, b) {
		notes = append(notes, fmt.Sprintf("(%d bytes that encode to %d)", len(b), len(again)))
	}
	return resp, notes, nil
}

func (c *conn) close() { _ = c.nc.Close() } // nothing is left to lose on it
