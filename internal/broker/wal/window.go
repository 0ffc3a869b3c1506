package wal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/weir-stream/weir/internal/base/crc32c"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// chainFile is a file of the chain as a reader sees it.
type chainFile struct {
	path   string
	base   Position
	header fileHeader
	f      vfs.File
	size   int64 // bytes that can hold frames: at most FileBytes, less if the file is shorter
}

// end is the position after the file's last byte.
func (f *chainFile) end() Position { return f.base + Position(f.header.FileBytes) }

// listFiles returns the positions of the files in dir, ascending.
func listFiles(fsys vfs.FS, dir string) ([]Position, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list the log's directory: %w", err)
	}
	var bases []Position
	for _, name := range names {
		if base, ok := parseFileName(name); ok {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases, nil
}

func openChainFile(fsys vfs.FS, dir string, base Position, cluster [16]byte) (*chainFile, error) {
	c := &chainFile{path: filepath.Join(dir, fileName(base)), base: base}
	var err error
	if c.header, c.f, err = openFile(fsys, c.path, base, cluster); err != nil {
		return nil, err
	}
	size, err := c.f.Size()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("size of %s: %w", c.path, err), c.f.Close())
	}
	c.size = min(size, c.header.FileBytes)
	return c, nil
}

// windowBytes is how much is read at once: many small frames lie in it, and little is wasted on a large one.
const windowBytes = 64 << 10

// window reads short pieces of one file with few system calls. The slices it returns are valid until the next call.
type window struct {
	f   *chainFile
	buf []byte
	off int64 // of buf in the file
}

func (w *window) open(f *chainFile) { w.f, w.buf, w.off = f, w.buf[:0], 0 }

// get returns the n bytes at off, or errShort if the file has less.
func (w *window) get(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > w.f.size-n {
		return nil, errShort
	}
	if off < w.off || off+n > w.off+int64(len(w.buf)) {
		want := int(min(max(n, windowBytes), w.f.size-off))
		w.buf = slices.Grow(w.buf[:0], want)[:want]
		w.off = off
		if err := w.f.read(w.buf, off); err != nil {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[off-w.off:][:n], nil
}

// read fills p from off.
func (f *chainFile) read(p []byte, off int64) error {
	n, err := f.f.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return errShort
	}
	return &readError{fmt.Errorf("read %d bytes of %s at %d: %w", len(p), f.path, off, err)}
}

// readError is a failure of the device: it tells nothing about what was written.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

func isReadError(err error) bool {
	_, ok := errors.AsType[*readError](err)
	return ok
}

// readHeader reads and judges the header of the frame at off: it must be of the file's incarnation and of this very place.
func (w *window) readHeader(off int64, h *frameHeader) error {
	b, err := w.get(off, headerBytes)
	if err != nil {
		return err
	}
	if err := h.decode(b); err != nil {
		return fmt.Errorf("frame header: %w", err)
	}
	f := &w.f.header
	switch {
	case h.Cluster != f.Cluster || h.Incarnation != f.Incarnation || h.Nonce != f.Nonce:
		return fmt.Errorf("frame of incarnation %d in a file of %d", h.Incarnation, f.Incarnation)
	case h.Pos != w.f.base+Position(off):
		return fmt.Errorf("frame of position %v at %v", h.Pos, w.f.base+Position(off))
	case off+h.frameBytes() > f.FileBytes:
		return fmt.Errorf("frame of %d bytes does not fit in the file", h.frameBytes())
	}
	return nil
}

// readFooter reads and checks the footer and the trailer of the frame at off.
func (w *window) readFooter(off int64, h *frameHeader, into *Frame) error {
	into.Incarnation, into.Seq, into.Pos, into.Bytes = h.Incarnation, h.Seq, h.Pos, h.frameBytes()
	b, err := w.get(off+h.footerOffset(), int64(h.FooterBytes)+trailerBytes)
	if err != nil {
		return err
	}
	dirCRC, err := decodeTrailer(b[h.FooterBytes:], h)
	if err != nil {
		return fmt.Errorf("frame trailer: %w", err)
	}
	if err := decodeFooter(b[:h.FooterBytes], h, dirCRC, into); err != nil {
		return fmt.Errorf("frame footer: %w", err)
	}
	return nil
}

// bodyChunkBytes is how much of a body is read at once.
const bodyChunkBytes = 1 << 20

// verifyBody checks the checksums of the runs of fr, which lies in f. buf is scratch of bodyChunkBytes.
func (f *chainFile) verifyBody(fr *Frame, buf []byte) error {
	for i := range fr.Runs {
		r := &fr.Runs[i]
		off, left, crc := int64(r.Pos-f.base), r.Bytes, uint32(0)
		for left > 0 {
			p := buf[:min(left, int64(len(buf)))]
			if err := f.read(p, off); err != nil {
				return err
			}
			crc = crc32c.Update(crc, p)
			off += int64(len(p))
			left -= int64(len(p))
		}
		if crc != r.CRC {
			return fmt.Errorf("body, run of shard %d partition %d: %w", r.Shard, r.Partition, errChecksum)
		}
	}
	return nil
}
