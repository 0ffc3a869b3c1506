package peer

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/kafka"
)

// responseBytesMax bounds an answer: those that brokers ask for are lists of codes and of states.
const responseBytesMax = 64 << 20

// conn is a connection that one caller uses at a time.
type conn struct {
	net       net.Conn
	formatter *kmsg.RequestFormatter
	last      int32 // correlation id
	buf       []byte
	used      time.Time // when the last answer came
	spoiled   bool      // its deadline may be moved at any time
}

// dial connects and logs in.
func (c *Client) dial(ctx context.Context, e cluster.Endpoint) (made *conn, err error) {
	defer func() {
		outcome := "success"
		if err != nil {
			outcome = "failure"
		}
		c.metrics.dials.WithLabelValues(outcome).Inc()
	}()
	ctx, cancel := context.WithTimeout(ctx, c.o.DialTimeout)
	defer cancel()
	n, err := c.o.Dial(ctx, "tcp", net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
	if err != nil {
		return nil, err
	}
	if c.o.TLS != nil {
		secured := tls.Client(n, c.o.TLS(e.Host))
		if err := secured.HandshakeContext(ctx); err != nil {
			n.Close() //nolint:errcheck // it was not used
			return nil, fmt.Errorf("secure the connection: %w", err)
		}
		n = secured
	}
	id := "weir-broker-" + strconv.Itoa(int(c.o.Directory.View().Self))
	conn := &conn{net: n, formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(id))}
	if err := conn.login(ctx, c.o.User, c.o.Secret); err != nil {
		conn.close()
		return nil, fmt.Errorf("log in: %w", err)
	}
	return conn, nil
}

func (c *conn) close() {
	c.net.Close() //nolint:errcheck // nothing is expected of it any more
}

// login proves both sides' knowledge of the secret.
func (c *conn) login(ctx context.Context, user string, secret Secret) error {
	mechanism := scram.Auth{User: user, Pass: secret.password()}.AsSha256Mechanism()
	hello := kmsg.NewPtrSASLHandshakeRequest()
	hello.Version, hello.Mechanism = 1, mechanism.Name()
	res, err := c.exchange(ctx, hello)
	if err == nil {
		err = kafka.Error(res.(*kmsg.SASLHandshakeResponse).ErrorCode).Err()
	}
	if err != nil {
		return err
	}
	session, message, err := mechanism.Authenticate(ctx, "")
	for done := false; err == nil && !done; {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.Version, req.SASLAuthBytes = 2, message
		var res kmsg.Response
		if res, err = c.exchange(ctx, req); err != nil {
			return err
		}
		answer := res.(*kmsg.SASLAuthenticateResponse)
		if err = kafka.Error(answer.ErrorCode).Err(); err == nil {
			done, message, err = session.Challenge(answer.SASLAuthBytes)
		}
	}
	return err
}

// errStray is for an answer to something else than what was asked.
var errStray = errors.New("the answer is to another request")

// exchange sends a request and reads its answer. After an error the connection is of no use.
func (c *conn) exchange(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	deadline, _ := ctx.Deadline()
	if err := c.net.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		c.net.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // it only makes the exchange end sooner
	})
	defer func() { c.spoiled = c.spoiled || !stop() }()
	c.last++
	c.buf = c.formatter.AppendRequest(c.buf[:0], req, c.last)
	if _, err := c.net.Write(c.buf); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	var size [4]byte
	if _, err := io.ReadFull(c.net, size[:]); err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > responseBytesMax {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	body := make([]byte, 0, min(n, 64<<10))
	for len(body) < int(n) {
		// As much as has come is what is allocated next.
		from := len(body)
		body = append(body, make([]byte, min(max(from, 64<<10), int(n)-from))...)
		if _, err := io.ReadFull(c.net, body[from:]); err != nil {
			return nil, fmt.Errorf("receive: %w", err)
		}
	}
	return parseResponse(req, c.last, body)
}

// parseResponse reads the answer to req, without its length.
func parseResponse(req kmsg.Request, correlation int32, b []byte) (kmsg.Response, error) {
	if len(b) < 4 || int32(binary.BigEndian.Uint32(b)) != correlation { //nolint:gosec // a correlation id is any 32 bits
		return nil, errStray
	}
	b = b[4:]
	res := req.ResponseKind()
	res.SetVersion(req.GetVersion())
	if res.IsFlexible() {
		tags, n := binary.Uvarint(b)
		if n <= 0 || tags != 0 {
			return nil, errors.New("the header of the answer has tags that no version knows")
		}
		b = b[n:]
	}
	if err := res.ReadFrom(b); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return res, nil
}
