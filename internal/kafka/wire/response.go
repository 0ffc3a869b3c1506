package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Part is a stretch of a response: memory, or, if File is set, Len bytes of a file from Off on. The bytes must not change
// before Done is called. Done may be nil.
type Part struct {
	Bytes []byte
	File  *os.File
	Off   int64
	Len   int64
	Done  func()
}

// Size returns the bytes of the part on the wire.
func (p Part) Size() int64 {
	if p.File != nil {
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

// WriteTo writes the frame to w and calls the Done of every part, also if it fails, in which case the connection cannot
// be used any more: part of the frame may be out. Memory goes out by one gathering write if w is a connection that can
// do so, files by sendfile if w is a TCP connection, by copying otherwise. The same file may be written to several
// connections at once: its own offset is neither used nor moved. A file shorter than announced yields
// io.ErrUnexpectedEOF.
func (r Response) WriteTo(w io.Writer) (int64, error) {
	var written int64
	parts := r.Parts
	for len(parts) > 0 {
		count := 0 // parts that go out in this round
		var n int64
		var err error
		if parts[0].File != nil {
			count = 1
			n, err = writeFile(w, parts[0])
		} else {
			for count < len(parts) && parts[count].File == nil {
				count++
			}
			n, err = writeMemory(w, parts[:count])
		}
		written += n
		if err != nil {
			drop(parts)
			return written, fmt.Errorf("write response: %w", err)
		}
		drop(parts[:count])
		parts = parts[count:]
	}
	return written, nil
}

func writeMemory(w io.Writer, parts []Part) (int64, error) {
	if len(parts) == 1 {
		if len(parts[0].Bytes) == 0 {
			return 0, nil // A pipe would wait for a reader.
		}
		n, err := w.Write(parts[0].Bytes)
		return int64(n), err
	}
	gathered := make(net.Buffers, 0, len(parts))
	for _, p := range parts {
		if len(p.Bytes) > 0 {
			gathered = append(gathered, p.Bytes)
		}
	}
	return gathered.WriteTo(w)
}

const copyBytes = 64 << 10

// copyFile writes a file part through memory.
func copyFile(w io.Writer, p Part) (int64, error) {
	buf := getBuffer(int(min(p.Len, copyBytes)))
	defer buf.put()
	var written int64
	for written < p.Len {
		chunk := buf.b[:min(int64(cap(buf.b)), p.Len-written)]
		n, err := p.File.ReadAt(chunk, p.Off+written)
		if n < len(chunk) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return written, fmt.Errorf("read %s at %d: %w", p.File.Name(), p.Off+written, err)
		}
		m, err := w.Write(chunk)
		written += int64(m)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
