package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

const (
	maxParts     = 10_000
	abortLimit   = 10 * time.Second
	firstBuffer  = 64 << 10 // a small object needs no more
	smallBuffer  = 8 << 20  // a larger object gets a whole part's
	maxUploadID  = 4096
	maxETagBytes = 1024
)

var errTooLarge = errors.New("object is larger than its parts may be together")

// writer gathers parts and uploads them beside each other. The caller's goroutine fills the buffer; each full one belongs
// to the goroutine that uploads it.
type writer struct {
	store  *Store
	key    string
	nonce  string
	crc    bool            // parts travel with a CRC-32C
	direct bool            // a single request is enough for a body of one part
	ctx    context.Context //nolint:containedctx // of Create: the upload is one request, in parts
	cancel context.CancelFunc
	ended  bool

	buf   []byte // at most PartBytes
	id    string // of the upload, empty before the first part
	next  int    // number of the next part, from 1
	free  chan []byte
	group sync.WaitGroup
	slots chan struct{} // one for each part in flight

	mu    sync.Mutex
	parts []part // by part number minus one
	err   error  // the first of a part
}

// part is what the completion has to say of one.
type part struct{ etag, crc string }

// Create implements blob.Store. The upload ends if ctx does.
func (s *Store) Create(ctx context.Context, key string) (blob.Writer, error) {
	return s.create(ctx, key, true)
}

// create makes a writer; unless direct it makes an upload in parts also of a small body.
func (s *Store) create(ctx context.Context, key string, direct bool) (*writer, error) {
	if err := s.check(ctx, key); err != nil {
		return nil, err
	}
	w := &writer{
		store: s, key: key, nonce: newNonce(), direct: direct, next: 1, crc: s.crc.Load(),
		free:  make(chan []byte, s.o.PartsInFlight+1), // all buffers there can be
		slots: make(chan struct{}, s.o.PartsInFlight),
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w, nil
}

// Write implements blob.Writer. It waits while as many parts are in flight as may be.
func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, blob.ErrFinished
	}
	written := 0
	for len(p) > 0 {
		if len(w.buf) == w.store.o.PartBytes {
			if err := w.sendPart(); err != nil {
				return written, fmt.Errorf("put %s: %w", w.key, err)
			}
		}
		n := min(len(p), w.store.o.PartBytes-len(w.buf))
		w.grow(n)
		w.buf = append(w.buf, p[:n]...)
		p, written = p[n:], written+n
	}
	return written, nil
}

// grow makes room for n bytes more, doubling up to the size of a part.
func (w *writer) grow(n int) {
	if cap(w.buf)-len(w.buf) >= n {
		return
	}
	if w.buf == nil {
		select {
		case w.buf = <-w.free:
			return
		default:
		}
	}
	size := max(cap(w.buf)*2, firstBuffer, len(w.buf)+n)
	if w.next > 1 || size > smallBuffer {
		w.buf = append(w.store.takePart(), w.buf...)
		return
	}
	w.buf = append(make([]byte, 0, min(size, w.store.o.PartBytes)), w.buf...)
}

// takePart returns an empty buffer of PartBytes: one that was used before, if there is one, since new memory costs as much as what is done with it.
func (s *Store) takePart() []byte {
	if b, ok := s.parts.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, s.o.PartBytes)
}

// dropBuffers gives up the buffers. No request reads them any more.
func (w *writer) dropBuffers() {
	w.give(w.buf)
	w.buf = nil
	for {
		select {
		case b := <-w.free:
			w.give(b)
		default:
			return
		}
	}
}

func (w *writer) give(b []byte) {
	if cap(b) == w.store.o.PartBytes {
		w.store.parts.Put(&b)
	}
}

// sendPart hands the buffer to a goroutine of its own.
func (w *writer) sendPart() error {
	if w.next > maxParts {
		return errTooLarge
	}
	if w.id == "" {
		if err := w.initiate(); err != nil {
			return err
		}
	}
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return w.failed()
	}
	if err := w.failed(); err != nil {
		<-w.slots
		return err
	}
	number, body := w.next, w.buf
	w.next, w.buf = w.next+1, nil
	w.mu.Lock()
	w.parts = append(w.parts, part{})
	w.mu.Unlock()
	w.group.Go(func() {
		sent, err := w.upload(number, body)
		w.mu.Lock()
		w.parts[number-1] = sent
		if err != nil && w.err == nil {
			w.err = err
			w.cancel() // the other parts are of no use
		}
		w.mu.Unlock()
		w.free <- body[:0] // never full
		<-w.slots
	})
	return nil
}

// failed returns the first error of a part, or that of the context.
func (w *writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	return w.ctx.Err()
}

// initiate begins the upload. One whose answer is lost is left to the bucket's rule for incomplete uploads.
func (w *writer) initiate() error {
	s := w.store
	header := map[string]string{nonceHeader: w.nonce}
	if w.crc {
		header[algorithmHeader] = algorithmCRC
	}
	return s.retry(w.ctx, opInitiate, func() error {
		r, err := s.exchange(w.ctx, request{
			op: opInitiate, method: http.MethodPost, key: w.key, query: url.Values{"uploads": {""}},
			header: header,
		})
		if err != nil {
			return err
		}
		var parsed struct {
			XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
			UploadID string   `xml:"UploadId"`
		}
		if err := xml.Unmarshal(r.body, &parsed); err != nil || parsed.UploadID == "" || len(parsed.UploadID) > maxUploadID {
			return fmt.Errorf("%w: no id of an upload", errAnswer)
		}
		w.id = parsed.UploadID
		return nil
	})
}

func (w *writer) upload(number int, body []byte) (sent part, err error) {
	crc := ""
	if w.crc {
		crc = crcOf(body)
	}
	err = w.store.retry(w.ctx, opPart, func() (err error) {
		sent, err = w.uploadOnce(number, body, crc)
		return err
	})
	return sent, err
}

// uploadOnce makes one try.
func (w *writer) uploadOnce(number int, body []byte, crc string) (part, error) {
	r, err := w.store.exchange(w.ctx, request{
		op: opPart, method: http.MethodPut, key: w.key, body: body, crc: crc,
		query: url.Values{"partNumber": {strconv.Itoa(number)}, "uploadId": {w.id}},
	})
	if err != nil {
		return part{}, err
	}
	etag := r.header.Get("Etag")
	if etag == "" || len(etag) > maxETagBytes {
		return part{}, fmt.Errorf("%w: a part has no ETag", errAnswer)
	}
	return part{etag, crc}, nil
}

// Commit implements blob.Writer.
func (w *writer) Commit(ctx context.Context) error {
	if w.ended {
		return blob.ErrFinished
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(err, w.Abort()) //nolint:contextcheck // The clean-up has a time limit of its own.
	}
	if w.id == "" && w.direct {
		w.finish()
		defer w.dropBuffers()
		return w.store.put(ctx, w.key, w.buf, w.nonce, w.store.checksum(w.buf))
	}
	err := w.commitParts(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("put %s: %w", w.key, err), w.Abort()) //nolint:contextcheck // As above.
	}
	w.finish()
	w.dropBuffers()
	return nil
}

func (w *writer) finish() {
	w.ended = true
	w.cancel()
}

func (w *writer) commitParts(ctx context.Context) error {
	// The last part, which may be any size. The caller's context bounds the waiting for it too.
	stop := context.AfterFunc(ctx, w.cancel)
	defer stop()
	if len(w.buf) > 0 || w.next == 1 {
		if err := w.sendPart(); err != nil {
			return err
		}
	}
	w.group.Wait()
	if err := w.failed(); err != nil {
		return err
	}
	var body bytes.Buffer
	body.WriteString("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">")
	for i, sent := range w.parts {
		fmt.Fprintf(&body, "<Part><PartNumber>%d</PartNumber><ETag>", i+1)
		if err := xml.EscapeText(&body, []byte(sent.etag)); err != nil {
			return err
		}
		body.WriteString("</ETag>")
		if sent.crc != "" {
			body.WriteString("<ChecksumCRC32C>" + sent.crc + "</ChecksumCRC32C>")
		}
		body.WriteString("</Part>")
	}
	body.WriteString("</CompleteMultipartUpload>")
	return w.complete(ctx, body.Bytes())
}

// complete makes the object of the parts, if the key is free. An upload that is gone may have become the object by an
// earlier try, or been ended by a conflict: what is at the key tells.
func (w *writer) complete(ctx context.Context, body []byte) error {
	s := w.store
	unsure := false
	return s.retry(ctx, opComplete, func() error {
		r, err := s.exchange(ctx, request{
			op: opComplete, method: http.MethodPost, key: w.key, query: url.Values{"uploadId": {w.id}}, body: body,
			header: map[string]string{ifNoneMatch: "*", "Content-Type": "application/xml"},
		})
		if err == nil && isErrorBody(r.body) {
			err = lateRefusal(r)
		} else if err == nil && len(bytes.TrimSpace(r.body)) == 0 {
			err = fmt.Errorf("%w: empty", errAnswer)
		}
		gone := hasStatus(err, http.StatusNotFound)
		switch {
		case hasStatus(err, http.StatusPreconditionFailed):
			return s.whose(ctx, w.key, w.nonce, nil, unsure)
		case gone && unsure:
			if found := s.whose(ctx, w.key, w.nonce, nil, true); found == nil || errors.Is(found, blob.ErrExists) {
				return found
			}
		}
		unsure = unsure || err != nil && (maybeDone(err) || hasStatus(err, http.StatusConflict))
		return err
	})
}

// lateRefusal is the error in an answer whose status had been sent before it was known.
func lateRefusal(r reply) *Error {
	e := refusal(http.StatusInternalServerError, r.header, r.body)
	switch e.Code {
	case "PreconditionFailed":
		e.Status = http.StatusPreconditionFailed
	case "ConditionalRequestConflict", "OperationAborted":
		e.Status = http.StatusConflict
	case "NoSuchUpload":
		e.Status = http.StatusNotFound
	case "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "AccessDenied", "InvalidRequest":
		e.Status = http.StatusBadRequest
	}
	return e
}

// Abort implements blob.Writer. Parts that cannot be removed now are left to the bucket's rule for incomplete uploads.
func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	w.finish()
	w.group.Wait()
	w.dropBuffers()
	if w.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortLimit)
	defer cancel()
	_, err := w.store.exchange(ctx, request{op: opAbort, method: http.MethodDelete, key: w.key, query: url.Values{"uploadId": {w.id}}})
	if err != nil && !hasStatus(err, http.StatusNotFound) {
		w.store.o.Log.Warn("an upload that was given up could not be removed; the bucket's rule for incomplete uploads will", "object", w.key, "err", err)
	}
	return nil
}
