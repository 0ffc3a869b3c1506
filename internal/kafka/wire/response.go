package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Viewer is where the bytes of a part come from if they are not in memory. View returns the bytes at off, n of them or fewer, but
// at least one; they stay valid until release, which is called once.
type Viewer interface {
	View(off int64, n int) (p []byte, release func(), err error)
}

// Part is a stretch of a response: memory, or, if From is set, Len bytes of it from Off on, which are read a piece at a time
// while the response is being written, so that a slow peer holds little memory. The bytes must not change before Done is
// called. Done may be nil.
type Part struct {
	Bytes []byte
	From  Viewer
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

// pieceBytes is about how much of parts that have to be read is held at once, so that a slow peer holds little memory.
const pieceBytes = 1 << 20

// WriteTo writes the frame to w and calls the Done of every part, also if it fails, in which case the connection cannot
// be used any more: part of the frame may be out. Memory, and the pieces of what is read, go out by gathering writes if w is a
// connection that can do so.
func (r Response) WriteTo(w io.Writer) (int64, error) {
	o := output{w: w, gathered: make([][]byte, 0, len(r.Parts)+1)}
	defer drop(r.Parts)
	for _, p := range r.Parts {
		if err := o.part(p); err != nil {
			o.release()
			return o.written, fmt.Errorf("write response: %w", err)
		}
	}
	if err := o.flush(); err != nil {
		return o.written, fmt.Errorf("write response: %w", err)
	}
	return o.written, nil
}

// output gathers what is to be written.
type output struct {
	w        io.Writer
	gathered net.Buffers
	views    []func() // releases of what is gathered
	viewed   int      // bytes of views
	written  int64
}

// part gathers a part, and writes when enough of what had to be read is there.
func (o *output) part(p Part) error {
	if p.From == nil {
		if len(p.Bytes) > 0 { // a pipe would wait for a reader of nothing
			o.gathered = append(o.gathered, p.Bytes)
		}
		return nil
	}
	for at := int64(0); at < p.Len; {
		b, release, err := p.From.View(p.Off+at, int(min(p.Len-at, pieceBytes)))
		if err != nil {
			return err
		}
		o.gathered = append(o.gathered, b)
		o.views = append(o.views, release)
		o.viewed += len(b)
		at += int64(len(b))
		if o.viewed >= pieceBytes {
			if err := o.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes what is gathered.
func (o *output) flush() error {
	defer o.release()
	if len(o.gathered) == 0 {
		return nil
	}
	all := o.gathered
	n, err := o.gathered.WriteTo(o.w)
	o.gathered = all[:0]
	o.written += n
	return err
}

func (o *output) release() {
	for _, f := range o.views {
		f()
	}
	clear(o.views)
	o.views, o.viewed = o.views[:0], 0
}
