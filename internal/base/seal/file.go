package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// FS encrypts files that are written once in each place and read in any range, as those of the write-ahead log are.
//
//	header, padded to 4 KiB | bytes, each at its offset + 4 KiB
//
// It differs from other file systems in one thing: bytes that were never written read as noise, not as zeros. A file that
// was made without encryption can be read, and can not be written.
type FS struct {
	vfs.FS
	ring *Ring
	// buffers are aligned ones for what is written, *[]byte.
	buffers sync.Pool
}

// NewFS returns inner with encrypted files.
func NewFS(inner vfs.FS, ring *Ring) *FS { return &FS{FS: inner, ring: ring} }

// pageBytes is what the header takes, so that aligned offsets stay aligned.
const pageBytes = vfs.DirectAlign

// writeBytes is how much is encrypted at once on its way to the disk.
const writeBytes = 1 << 20

// Open opens a file for reading.
func (s *FS) Open(name string) (vfs.File, error) {
	inner, err := s.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return s.open(inner, name, true)
}

// OpenReadWrite opens an existing file. One that was never written whole, or not by this type, is vfs.ErrUnreadable.
func (s *FS) OpenReadWrite(name string) (vfs.File, error) {
	inner, err := s.FS.OpenReadWrite(name)
	if err != nil {
		return nil, err
	}
	return s.open(inner, name, false)
}

func (s *FS) open(inner vfs.File, name string, readOnly bool) (vfs.File, error) {
	f := &file{inner: inner, fs: s, name: name}
	block, err := s.readHeader(inner, name)
	switch {
	case errors.Is(err, errPlain) && readOnly:
		return inner, nil
	case errors.Is(err, errPlain):
		return nil, errors.Join(fmt.Errorf("open %s for writing: it is not encrypted: %w", name, vfs.ErrUnreadable), inner.Close())
	case err != nil:
		return nil, errors.Join(err, inner.Close())
	}
	f.block.Store(&block)
	return f, nil
}

func (s *FS) readHeader(inner vfs.File, name string) (cipher.Block, error) {
	header := make([]byte, headerBytes)
	n, err := inner.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read header of %s: %w", name, err)
	}
	// A file is renamed in its life, so its key is bound to no name.
	key, err := s.ring.openHeader(header[:n], kindFile, "")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return aes.NewCipher(key)
}

// Create makes a file with a key of its own.
func (s *FS) Create(name string) (vfs.File, error) {
	inner, err := s.FS.Create(name)
	if err != nil {
		return nil, err
	}
	f := &file{inner: inner, fs: s, name: name}
	if err := f.Renew(); err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	return f, nil
}

// Stat describes a file with the size of its bytes in the clear.
func (s *FS) Stat(name string) (fs.FileInfo, error) {
	info, err := s.FS.Stat(name)
	if err != nil || info.IsDir() || info.Size() < pageBytes {
		return info, err
	}
	inner, err := s.FS.Open(name)
	if err != nil {
		return nil, err
	}
	_, err = s.readHeader(inner, name)
	if cerr := inner.Close(); cerr != nil {
		return nil, cerr
	}
	if errors.Is(err, errPlain) {
		return info, nil
	}
	return fileInfo{info}, err
}

type fileInfo struct{ fs.FileInfo }

func (i fileInfo) Size() int64 { return i.FileInfo.Size() - pageBytes }

// file is an open encrypted file.
type file struct {
	inner vfs.File
	fs    *FS
	name  string
	block atomic.Pointer[cipher.Block]
}

// Renew gives the file another key: what it held is gone. It is not durable before a sync.
func (f *file) Renew() error {
	header, key := f.fs.ring.newHeader(kindFile, "")
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("make cipher: %w", err)
	}
	page := make([]byte, pageBytes)
	copy(page, header)
	if _, err := f.inner.WriteAt(page, 0); err != nil {
		return fmt.Errorf("write header of %s: %w", filepath.Base(f.name), err)
	}
	f.block.Store(&block)
	return nil
}

// crypt encrypts or decrypts src, whose place is off, into dst. They may be the same.
func (f *file) crypt(dst, src []byte, off int64) {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(off/aes.BlockSize))
	stream := cipher.NewCTR(*f.block.Load(), iv[:])
	if skip := off % aes.BlockSize; skip > 0 {
		var lead [aes.BlockSize]byte
		stream.XORKeyStream(lead[:skip], lead[:skip])
	}
	stream.XORKeyStream(dst, src)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s at %d: %w", f.name, off, fs.ErrInvalid)
	}
	n, err := f.inner.ReadAt(p, off+pageBytes)
	f.crypt(p[:n], p[:n], off)
	return n, err
}

func (f *file) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	p, err := f.inner.ReadRange(buf, off+pageBytes, n)
	if err != nil {
		return nil, err
	}
	f.crypt(p, p, off)
	return p, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) { return f.write(f.inner.WriteAt, p, off) }

func (f *file) WriteDirectAt(p []byte, off int64) (int, error) {
	return f.write(f.inner.WriteDirectAt, p, off)
}

// write encrypts p piece by piece into aligned memory and hands that on: p stays as it is.
func (f *file) write(to func([]byte, int64) (int, error), p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("write %s at %d: %w", f.name, off, fs.ErrInvalid)
	}
	buf, _ := f.fs.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new(vfs.AlignedBuffer(writeBytes))
	}
	defer f.fs.buffers.Put(buf)
	written := 0
	for first := true; first || written < len(p); first = false {
		part := (*buf)[:min(len(p)-written, writeBytes)]
		f.crypt(part, p[written:written+len(part)], off)
		n, err := to(part, off+pageBytes)
		written += n
		off += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (f *file) Size() (int64, error) {
	n, err := f.inner.Size()
	return max(0, n-pageBytes), err
}

func (f *file) Truncate(size int64) error {
	if size < 0 {
		return fmt.Errorf("truncate %s to %d: %w", f.name, size, fs.ErrInvalid)
	}
	return f.inner.Truncate(size + pageBytes)
}

func (f *file) Allocate(off, length int64) error { return f.inner.Allocate(off+pageBytes, length) }
func (f *file) SyncData() error                  { return f.inner.SyncData() }
func (f *file) Sync() error                      { return f.inner.Sync() }
func (f *file) Close() error                     { return f.inner.Close() }
