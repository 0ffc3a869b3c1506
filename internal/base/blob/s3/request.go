package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// Operations, as metrics name them.
const (
	opPut      = "put"
	opGet      = "get"
	opHead     = "head"
	opDelete   = "delete"
	opList     = "list"
	opInitiate = "upload_initiate"
	opPart     = "upload_part"
	opComplete = "upload_complete"
	opAbort    = "upload_abort"
)

const (
	firstByteLimit = 10 * time.Second // for the answer to begin, beside the time that the body takes
	slowestRate    = 1 << 20          // bytes per second that a body moves at least
	completeLimit  = time.Minute      // a service may put the parts together before it answers
	maxAnswerBytes = 4 << 20          // of an answer that is not an object
	drainBytes     = 64 << 10         // read from a body nobody wants, so that its connection can be used again
)

// request is one exchange with the service, as often as it is tried.
type request struct {
	op     string
	method string
	key    string // empty for the bucket
	query  url.Values
	header map[string]string
	body   []byte
	crc    string // of body, for the service to check; empty: the signature's hash is what it checks
	bytes  int64  // of the answer, if it is an object
}

// answer is what came back, with a status of 2xx. body must be closed.
type answer struct {
	status int
	header http.Header
	length int64 // -1: not told
	body   io.ReadCloser
}

// limit is the time that one try has.
func (s *Store) limit(r *request) time.Duration {
	d := s.firstByte
	if r.op == opComplete {
		d = completeLimit
	}
	return d + moving(int64(len(r.body))) + moving(r.bytes)
}

// moving is the time that n bytes may take.
func moving(n int64) time.Duration {
	return time.Duration(n/slowestRate)*time.Second + time.Duration(n%slowestRate)*time.Second/slowestRate
}

// send makes one try and returns its answer, whose body has the rest of the try's time. An answer other than 2xx is an
// *Error.
func (s *Store) send(ctx context.Context, r *request) (*answer, error) {
	begin := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	// The answer must begin in its time, also if it is a long one that may then take more.
	first := time.AfterFunc(s.limit(r)-moving(r.bytes), func() { cancel(errSlow) })
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	sent := &payload{bytes: r.body}
	res, keys, err := s.roundTrip(traced, r, sent)
	onTime := first.Stop()
	if err == nil && !onTime {
		_ = res.Body.Close() // the try is over
		err = errSlow
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		sent.end()
		s.metrics.requests.WithLabelValues(r.op, noAnswer(err)).Inc()
		return nil, &sendError{err: err, sent: connected.Load()}
	}
	took := time.Since(begin)
	s.metrics.requests.WithLabelValues(r.op, codeLabel(res.StatusCode)).Inc()
	s.metrics.seconds.WithLabelValues(r.op).Observe(took.Seconds())
	s.metrics.bytes.WithLabelValues("out").Add(float64(len(r.body)))
	rest := time.AfterFunc(s.limit(r)-took, func() { cancel(errSlow) })
	body := &timedBody{ReadCloser: res.Body, done: func() { rest.Stop(); cancel(nil); sent.end() }, cause: func() error { return context.Cause(ctx) }}
	if res.StatusCode/100 == 2 {
		return &answer{status: res.StatusCode, header: res.Header, length: res.ContentLength, body: body}, nil
	}
	defer func() { _ = body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(body, maxErrorBytes)) // the status says enough if the text does not come
	e := refusal(res.StatusCode, res.Header, text)
	if e.forKeys(r.method) {
		e.newKeys = s.keys.replaced(ctx, keys)
	}
	return nil, e
}

// roundTrip signs and sends. It also returns the keys that it signed with.
func (s *Store) roundTrip(ctx context.Context, r *request, sent *payload) (*http.Response, credentials.Value, error) {
	keys, err := s.keys.get(ctx)
	if err != nil {
		return nil, keys, err
	}
	u := *s.endpoint
	u.Path += "/" // of the bucket, in either style
	if r.key != "" {
		u.Path += s.keyPrefix + r.key
	}
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), http.NoBody)
	if err != nil {
		return nil, keys, err
	}
	sent.attach(req)
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "weir")
	if r.crc != "" {
		req.Header.Set(crcHeader, r.crc)
		req.Header.Set("X-Amz-Content-Sha256", unsigned)
	} else {
		sum := sha256.Sum256(r.body)
		req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	}
	res, err := s.client.Do(signer.SignV4(*req, keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, s.o.Region))
	return res, keys, err
}

func noAnswer(err error) string {
	switch {
	case errors.Is(err, errSlow), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "network"
}

// timedBody is a body whose try ends with it.
type timedBody struct {
	io.ReadCloser
	done  func()
	cause func() error
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := b.cause(); cause != nil {
			err = cause
		}
		err = &sendError{err: err, sent: true}
	}
	return n, err
}

// Close gives the connection back if little is left to read.
func (b *timedBody) Close() error {
	_, _ = io.CopyN(io.Discard, b.ReadCloser, drainBytes) // what comes of it does not matter
	err := b.ReadCloser.Close()
	b.done()
	return err
}

// exchange makes one try and returns the header and the whole body of the answer, which is not an object.
func (s *Store) exchange(ctx context.Context, r request) (reply, error) {
	a, err := s.send(ctx, &r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = a.body.Close() }() // read to its end
	if r.method == http.MethodHead {
		return reply{status: a.status, header: a.header}, nil
	}
	body, err := io.ReadAll(io.LimitReader(a.body, maxAnswerBytes+1))
	if err != nil {
		return reply{}, err
	}
	if len(body) > maxAnswerBytes {
		return reply{}, fmt.Errorf("%s answered with more than %d bytes: %w", r.op, maxAnswerBytes, errAnswer)
	}
	return reply{status: a.status, header: a.header, body: body}, nil
}

// reply is a whole answer that is not an object.
type reply struct {
	status int
	header http.Header
	body   []byte
}
