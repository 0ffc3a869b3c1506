package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// RangeReader is where the bytes of a part come from if they are not in memory. ReadRange reads the n bytes at off and returns
// them, as a part of buf or not; buf is a vfs.AlignedBuffer of vfs.RangeBytes(n) at least.
type RangeReader interface {
	ReadRange(buf []byte, off int64, n int) ([]byte, error)
}

// Part is a stretch of a response: memory, or, if From is set, Len bytes of it from Off on, which are read a piece at a time
// while the response is being written, so that a slow peer holds little memory. The bytes must not change before Done is
// called. Done may be nil.
type Part struct {
	Bytes []byte
	From  RangeReader
	Off   int64
	Len   int64
	Done  func()
}

// Size returns the bytes of the part on the wire.
func (p Part) Size() int64 {
	if p.From != nil {
		return p.Len
	}
	return int64(len(p.Bytes))
}

// Response is a whole frame: size, header, body, in the order of its parts. Either WriteTo or Drop is called, once.
type Response struct{ Parts []Part }

// Size returns the bytes of the frame, the size field included.
func (r Response) Size() int64 {
	total := int64(0)
	for _, p := range r.Parts {
		total += p.Size()
	}
	return total
}

// Drop calls the Done of all parts of a response that is not going to be written.
func (r Response) Drop() { drop(r.Parts) }

func drop(parts []Part) {
	for _, p := range parts {
		if p.Done != nil {
			p.Done()
		}
	}
}

const apiVersionsKey = 18

// EncodeResponse encodes resp, in the version that is set in it, as the answer to h. The answer to ApiVersions has the
// oldest header in every version, since a client has to read it before it knows what the broker can do.
// The memory is pooled and goes back once the response is written or dropped.
func EncodeResponse(h RequestHeader, resp kmsg.Response) Response {
	buf := getBuffer(minResponseBytes)
	buf.b = appendResponseHeader(buf.b, h, resp.IsFlexible())
	buf.b = resp.AppendTo(buf.b)
	binary.BigEndian.PutUint32(buf.b, uint32(len(buf.b)-4))
	return Response{Parts: []Part{{Bytes: buf.b, Done: buf.put}}}
}

const minResponseBytes = 1 << minClassBits

// appendResponseHeader leaves room for the size.
func appendResponseHeader(b []byte, h RequestHeader, flexible bool) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(h.CorrelationID))
	if flexible && h.Key != apiVersionsKey {
		b = append(b, 0) // no tags
	}
	return b
}

// pieceBytes is how much of a part is read and written at once.
const pieceBytes = 1 << 20

var pieces = sync.Pool{New: func() any { b := vfs.AlignedBuffer(vfs.RangeBytes(pieceBytes)); return &b }}

// WriteTo writes the frame to w and calls the Done of every part, also if it fails, in which case the connection cannot
// be used any more: part of the frame may be out. Memory, and the pieces of what is read, go out by gathering writes if w is a
// connection that can do so.
func (r Response) WriteTo(w io.Writer) (int64, error) {
	o := output{w: w, gathered: make([][]byte, 0, len(r.Parts)+1)}
	defer o.release()
	done := 0 // parts that are out
	for i, p := range r.Parts {
		if p.From == nil {
			o.add(p.Bytes)
			continue
		}
		if err := o.copy(p); err != nil {
			drop(r.Parts[done:])
			return o.written, fmt.Errorf("write response: %w", err)
		}
		drop(r.Parts[done : i+1])
		done = i + 1
	}
	err := o.flush()
	drop(r.Parts[done:])
	if err != nil {
		return o.written, fmt.Errorf("write response: %w", err)
	}
	return o.written, nil
}

// output gathers what is to be written.
type output struct {
	w        io.Writer
	gathered net.Buffers
	piece    *[]byte
	written  int64
}

func (o *output) add(b []byte) {
	if len(b) > 0 { // a pipe would wait for a reader of nothing
		o.gathered = append(o.gathered, b)
	}
}

func (o *output) flush() error {
	if len(o.gathered) == 0 {
		return nil
	}
	all := o.gathered
	n, err := o.gathered.WriteTo(o.w)
	o.gathered = all[:0]
	o.written += n
	return err
}

// copy writes what is gathered and the bytes of a part that have to be read.
func (o *output) copy(p Part) error {
	if o.piece == nil {
		o.piece = pieces.Get().(*[]byte)
	}
	for at := int64(0); at < p.Len; {
		n := min(p.Len-at, pieceBytes)
		b, err := p.From.ReadRange(*o.piece, p.Off+at, int(n))
		if err != nil {
			return err
		}
		o.add(b)
		if err := o.flush(); err != nil {
			return err
		}
		at += n
	}
	return nil
}

func (o *output) release() {
	if o.piece != nil {
		pieces.Put(o.piece)
	}
}
