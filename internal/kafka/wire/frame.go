package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrFrameSize: a peer announced a frame of a negative size or one over the limit. Nothing after it can be understood.
var ErrFrameSize = errors.New("frame size out of range")

const (
	readerBytes = 4 << 10 // small requests that were sent together come in one read
	// uncountedBytes may arrive before a frame draws on the budget, so that a peer that announces much and sends nothing
	// holds nothing. It is also what a connection costs without any budget.
	uncountedBytes = 64 << 10
	firstReadBytes = 4 << 10
)

// FrameReaderOptions configure a FrameReader.
type FrameReaderOptions struct {
	// MaxBytes is the largest frame that is accepted (socket.request.max.bytes). Default 100 MiB.
	MaxBytes int64
	// Limit, if set, gives the largest frame in the place of MaxBytes. It is asked for each frame, once its size is known.
	Limit func() int64
	// Wait, if set, is called once the size of a frame has arrived and before anything else of it is read; an error ends
	// the reading. A peer that goes away before its next frame is so noticed, whoever waits here.
	Wait func(ctx context.Context) error
	// Budget counts the bytes of frames in flight. Default: no bound.
	Budget *Budget
	// BodyTimeout is how long the rest of a frame may take to arrive once its size is known or its budget is granted, with
	// a second more for each MiB. It needs a reader with SetReadDeadline, as a connection is. Default 0: for ever.
	BodyTimeout time.Duration
}

// FrameReader reads frames off one connection. It belongs to one goroutine.
type FrameReader struct {
	in       *bufio.Reader
	deadline interface{ SetReadDeadline(time.Time) error } // nil if there is none
	options  FrameReaderOptions
	largest  int // bytes of the largest frame that really arrived; decides how much the next one gets at once
}

// NewFrameReader returns a reader of r's frames.
func NewFrameReader(r io.Reader, o FrameReaderOptions) *FrameReader {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 100 << 20
	}
	f := &FrameReader{in: bufio.NewReaderSize(r, readerBytes), options: o}
	if d, ok := r.(interface{ SetReadDeadline(time.Time) error }); ok && o.BodyTimeout > 0 {
		f.deadline = d
	}
	return f
}

// Frame is one request's bytes, without the size field.
type Frame struct {
	Bytes []byte

	buf    *buffer
	charge Charge
}

// Release gives the frame's memory and budget back. Nothing that points into Bytes may be used any more. Calling it
// again does nothing.
func (f *Frame) Release() {
	if f.buf == nil {
		return
	}
	buf, charge := f.buf, f.charge
	f.buf, f.charge, f.Bytes = nil, Charge{}, nil
	buf.put()
	charge.Release()
}

// Next reads the next frame. It waits for the peer without regard to ctx (close the connection, or set a deadline, to
// end that), and for the budget as long as ctx allows. io.EOF means that the peer ended between frames;
// io.ErrUnexpectedEOF, within one. ErrFrameSize and every other error leave the connection unusable.
func (r *FrameReader) Next(ctx context.Context) (*Frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head[:])))
	limit := r.options.MaxBytes
	if r.options.Limit != nil {
		limit = r.options.Limit()
	}
	if size < 0 || size > limit {
		return nil, fmt.Errorf("frame of %d bytes, at most %d are accepted: %w", size, limit, ErrFrameSize)
	}
	if r.options.Wait != nil {
		if err := r.options.Wait(ctx); err != nil {
			return nil, err
		}
	}
	f := &Frame{}
	if err := r.read(ctx, f, int(size)); err != nil {
		f.Release()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read frame of %d bytes: %w", size, err)
	}
	r.largest = max(r.largest, int(size))
	return f, nil
}

func (r *FrameReader) read(ctx context.Context, f *Frame, size int) error {
	budget := r.options.Budget
	// A peer that has sent frames of this size before gets the whole buffer at once, if nobody has to wait for it. For
	// any other the first part has to arrive before it draws on the budget.
	early := min(size, uncountedBytes)
	trusted := size <= r.largest && (budget == nil || budget.TryAcquire(int64(size)))
	if trusted {
		f.charge = Charge{budget, int64(size)}
		early = size
	}
	f.buf = getBuffer(min(early, max(firstReadBytes, r.largest)))
	if err := r.fill(f.buf, early, size); err != nil {
		return err
	}
	if !trusted && budget != nil {
		if err := budget.Acquire(ctx, int64(size)); err != nil {
			return err
		}
		f.charge = Charge{budget, int64(size)}
	}
	if err := r.fill(f.buf, size, size); err != nil {
		return err
	}
	f.Bytes = f.buf.b
	return nil
}

// fill reads until buf holds want bytes of a frame of size bytes. Memory grows fourfold at a time with what arrived.
func (r *FrameReader) fill(buf *buffer, want, size int) error {
	if len(buf.b) == want {
		return nil
	}
	if r.deadline != nil {
		if err := r.deadline.SetReadDeadline(time.Now().Add(r.options.BodyTimeout + time.Duration(size>>20)*time.Second)); err != nil {
			return err
		}
		defer func() { _ = r.deadline.SetReadDeadline(time.Time{}) }() // A connection that refuses shows it at the next read.
	}
	for len(buf.b) < want {
		have := len(buf.b)
		if have == cap(buf.b) {
			bigger := getBuffer(min(max(4*have, min(r.largest, size)), size))
			bigger.b = append(bigger.b, buf.b...)
			buf.b, bigger.b = bigger.b, buf.b
			bigger.put()
		}
		n, err := io.ReadFull(r.in, buf.b[have:min(cap(buf.b), want)])
		buf.b = buf.b[:have+n]
		if err != nil {
			return err
		}
	}
	return nil
}
