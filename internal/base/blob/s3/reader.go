package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

const (
	// headBytes come with Open: all of a seal or a small manifest, and the header of anything.
	headBytes = 16 << 10
	// keptBytes of them stay with a reader of a larger object.
	keptBytes = 4 << 10
)

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, key string) (blob.Reader, error) {
	if err := s.check(ctx, key); err != nil {
		return nil, err
	}
	var r *reader
	err := s.retry(ctx, opGet, func() error {
		var err error
		r, err = s.openOnce(ctx, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, absent(err))
	}
	// Reads take no context of their own: each has a time limit, and Close ends them.
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return r, nil
}

// OpenSized implements blob.Sized. The object is read without a condition on its ETag, which is not known.
func (s *Store) OpenSized(ctx context.Context, key string, size int64) (blob.Reader, error) {
	if err := s.check(ctx, key); err != nil {
		return nil, err
	}
	if size < 0 || size > maxObjectBytes {
		return nil, fmt.Errorf("open %s: size %d is not within 0 and %d", key, size, int64(maxObjectBytes))
	}
	r := &reader{store: s, key: key, size: size}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return r, nil
}

func (s *Store) openOnce(ctx context.Context, key string) (*reader, error) {
	a, err := s.hedged(ctx, request{
		op: opGet, method: http.MethodGet, key: key, bytes: headBytes,
		header: map[string]string{"Range": "bytes=0-" + strconv.Itoa(headBytes-1)},
	})
	if hasStatus(err, http.StatusRequestedRangeNotSatisfiable) {
		return s.openEmpty(ctx, key) // an empty object has no byte 0
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.body.Close() }()
	r := &reader{store: s, key: key, etag: a.header.Get("Etag"), size: a.length}
	if a.status == http.StatusPartialContent {
		var first int64
		first, _, r.size, err = contentRange(a.header.Get("Content-Range"))
		if err == nil && first != 0 {
			err = fmt.Errorf("%w: first bytes begin at %d", errAnswer, first)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.etag == "" || r.size < 0 || r.size > maxObjectBytes {
		return nil, fmt.Errorf("%w: no ETag or no size (%d)", errAnswer, r.size)
	}
	n := min(r.size, headBytes)
	if a.status == http.StatusPartialContent && a.length >= 0 && a.length != n {
		return nil, fmt.Errorf("%w: %d first bytes, want %d", errAnswer, a.length, n)
	}
	head := make([]byte, n)
	if _, err := io.ReadFull(a.body, head); err != nil {
		return nil, cutShort(err)
	}
	s.metrics.bytes.WithLabelValues("in").Add(float64(n))
	if r.size > headBytes {
		head = append([]byte(nil), head[:keptBytes]...)
	}
	r.head = head
	return r, nil
}

// openEmpty makes sure that an object is empty.
func (s *Store) openEmpty(ctx context.Context, key string) (*reader, error) {
	a, err := s.exchange(ctx, request{op: opHead, method: http.MethodHead, key: key})
	if err != nil {
		return nil, err
	}
	if size := a.header.Get("Content-Length"); size != "0" && size != "" {
		return nil, fmt.Errorf("%w: first bytes of %s are refused", errAnswer, clip(size))
	}
	return &reader{store: s, key: key}, nil
}

// contentRange parses "bytes 0-99/1234".
func contentRange(text string) (first, last, size int64, err error) {
	spec, ok := strings.CutPrefix(text, "bytes ")
	span, total, ok1 := strings.Cut(spec, "/")
	from, to, ok2 := strings.Cut(span, "-")
	var errs [3]error
	first, errs[0] = strconv.ParseInt(from, 10, 64)
	last, errs[1] = strconv.ParseInt(to, 10, 64)
	size, errs[2] = strconv.ParseInt(total, 10, 64)
	if !ok || !ok1 || !ok2 || errors.Join(errs[:]...) != nil || first < 0 || last < first || size <= last || size > maxObjectBytes {
		return 0, 0, 0, fmt.Errorf("%w: content range %q", errAnswer, clip(text))
	}
	return first, last, size, nil
}

// cutShort marks the end of a body before its end, which another try may mend.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: body ended early", errAnswer)
	}
	return err
}

// reader reads an object as it was when it was opened.
type reader struct {
	store  *Store
	key    string
	etag   string // empty if it is not known, or if size is 0
	size   int64
	head   []byte          // its first bytes: all of a small object
	ctx    context.Context //nolint:containedctx // the reader's life, see Open
	cancel context.CancelFunc
}

func (r *reader) Size() int64 { return r.size }

func (r *reader) Close() error {
	r.cancel()
	return nil
}

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s at %d: negative offset", r.key, off)
	}
	n := int64(len(p))
	if off >= r.size {
		return 0, io.EOF
	}
	n = min(n, r.size-off)
	if err := r.fill(p[:n], off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (r *reader) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	if off < 0 || n < 0 || n > len(buf) {
		return nil, fmt.Errorf("read %d bytes of %s at %d into %d: out of range", n, r.key, off, len(buf))
	}
	if off > r.size || int64(n) > r.size-off {
		return nil, fmt.Errorf("read %d bytes of %s at %d: %w", n, r.key, off, io.ErrUnexpectedEOF)
	}
	if err := r.fill(buf[:n], off); err != nil {
		return nil, err
	}
	return buf[:n:n], nil
}

// Vectored implements blob.VectorReader.
func (r *reader) Vectored() bool { return true }

// ReadVector implements blob.VectorReader: all pieces come with one request.
func (r *reader) ReadVector(p [][]byte, off int64) error {
	n := vectorBytes(p)
	if off < 0 || off > r.size || n > r.size-off {
		return fmt.Errorf("read %d bytes of %s at %d: %w", n, r.key, off, io.ErrUnexpectedEOF)
	}
	return r.get(p, off)
}

func vectorBytes(p [][]byte) (n int64) {
	for _, piece := range p {
		n += int64(len(piece))
	}
	return n
}

// fill reads p, which lies inside the object, at off.
func (r *reader) fill(p []byte, off int64) error {
	if off < int64(len(r.head)) {
		n := copy(p, r.head[off:])
		p, off = p[n:], off+int64(n)
	}
	return r.get([][]byte{p}, off)
}

// get fills the pieces of p, which lie inside the object, one after the other from off on.
func (r *reader) get(p [][]byte, off int64) error {
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("read %s: reader is closed", r.key)
	}
	n := vectorBytes(p)
	if n == 0 {
		return nil
	}
	err := r.store.retry(r.ctx, opGet, func() error { return r.store.getRange(r.ctx, r.key, r.etag, p, off, n) })
	if hasStatus(err, http.StatusPreconditionFailed) {
		err = ErrReplaced
	}
	if err != nil {
		return fmt.Errorf("read %d bytes of %s at %d: %w", n, r.key, off, absent(err))
	}
	return nil
}

// getRange reads the pieces of p, n bytes in all, from off on of the object with this ETag, or with any if it is empty, once.
func (s *Store) getRange(ctx context.Context, key, etag string, p [][]byte, off, n int64) error {
	end := off + n
	header := map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", off, end-1)}
	if etag != "" {
		header[ifMatch] = etag
	}
	a, err := s.hedged(ctx, request{op: opGet, method: http.MethodGet, key: key, bytes: n, header: header})
	if err != nil {
		return err
	}
	defer func() { _ = a.body.Close() }()
	if got := a.header.Get("Etag"); etag != "" && got != etag {
		return ErrReplaced // the condition was not looked at
	}
	if a.status != http.StatusPartialContent {
		// Only a range that is the whole object may come as such.
		if a.status != http.StatusOK || off != 0 || a.length != end {
			return fmt.Errorf("status %d for a range: the service does not serve ranges", a.status)
		}
	} else {
		first, last, _, err := contentRange(a.header.Get("Content-Range"))
		if err != nil {
			return err
		}
		if first != off || last != end-1 || a.length >= 0 && a.length != end-off {
			return fmt.Errorf("%w: asked for [%d, %d), got [%d, %d) in %d bytes", errAnswer, off, end, first, last+1, a.length)
		}
	}
	for _, piece := range p {
		if _, err := io.ReadFull(a.body, piece); err != nil {
			return cutShort(err)
		}
	}
	s.metrics.bytes.WithLabelValues("in").Add(float64(n))
	return nil
}

// hedged sends a read, and a second one if no answer begins in the time that most take. The first good answer is returned,
// and the other request ended.
func (s *Store) hedged(ctx context.Context, r request) (*answer, error) {
	type result struct {
		answer *answer
		err    error
		number int // 0 or 1
	}
	results := make(chan result, 2)
	var ends [2]context.CancelFunc
	begin := func(i int) {
		sub, cancel := context.WithCancel(ctx)
		ends[i] = cancel
		started := time.Now()
		s.background.Go(func() {
			a, err := s.send(sub, &r)
			if err == nil {
				s.latency.add(time.Since(started))
			}
			results <- result{a, err, i}
		})
	}
	s.hedges.earn(hedgePerRequest)
	begin(0)
	running, hedge := 1, time.NewTimer(s.latency.hedgeAfter())
	defer hedge.Stop()
	for {
		select {
		case <-hedge.C:
			if !s.hedges.try() {
				s.metrics.hedges.WithLabelValues("denied").Inc()
				continue
			}
			begin(1)
			running++
		case got := <-results:
			running--
			if got.err != nil {
				ends[got.number]() // nothing of it is left to be read
			}
			if got.err != nil && running > 0 && passing(got.err) {
				continue // the other may do better
			}
			if ends[1] != nil && got.err == nil {
				s.metrics.hedges.WithLabelValues([]string{"lost", "won"}[got.number]).Inc()
			}
			if running > 0 {
				ends[1-got.number]()
				s.background.Go(func() {
					if other := <-results; other.err == nil {
						_ = other.answer.body.Close()
					}
				})
			}
			if got.err != nil {
				return nil, got.err
			}
			got.answer.body = &endingBody{ReadCloser: got.answer.body, end: ends[got.number]}
			return got.answer, nil
		}
	}
}

// endingBody calls end when it is closed.
type endingBody struct {
	io.ReadCloser
	end context.CancelFunc
}

func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}
