package vfs

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxIovecs is the kernel's UIO_MAXIOV: a longer gather write is refused.
const maxIovecs = 1024

// control runs one system call on the descriptor, again if a signal interrupted it.
func (f *osFile) control(call func(fd int) error) error {
	var err error
	ctlErr := f.raw.Control(func(fd uintptr) {
		for {
			if err = call(int(fd)); err != unix.EINTR { //nolint:errorlint // a bare errno from the kernel
				return
			}
		}
	})
	if ctlErr != nil {
		return os.ErrClosed // the only reason for which the call is not made
	}
	return err
}

// WritevAt implements File by pwritev(2).
func (f *osFile) WritevAt(bufs [][]byte, off int64) (int64, error) {
	var written int64
	var rest [][]byte // holds a chunk whose first buffer was written in part
	skip := 0         // bytes of bufs[0] already written
	for {
		for len(bufs) > 0 && skip == len(bufs[0]) {
			bufs, skip = bufs[1:], 0
		}
		if len(bufs) == 0 {
			return written, nil
		}
		chunk := bufs[:min(len(bufs), maxIovecs)]
		if skip > 0 {
			rest = append(append(rest[:0], bufs[0][skip:]), chunk[1:]...)
			chunk = rest
		}
		n := 0
		err := f.control(func(fd int) (err error) {
			n, err = unix.Pwritev(fd, chunk, off+written)
			return err
		})
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return written, f.fail("pwritev", err)
		}
		written += int64(n)
		bufs, skip = advance(bufs, skip+n)
	}
}

// advance drops n bytes from the front of bufs. It returns the buffers that are left and how many bytes of
// the first of them are already dropped.
func advance(bufs [][]byte, n int) ([][]byte, int) {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	return bufs, n
}

func (f *osFile) Allocate(off, length int64) error {
	err := f.control(func(fd int) error { return unix.Fallocate(fd, 0, off, length) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.writeZeros(off, length)
	}
	return f.fail("fallocate", err)
}

func (f *osFile) SyncData() error {
	return f.fail("fdatasync", f.control(unix.Fdatasync))
}

func syncDir(d *os.File) error { return d.Sync() }

func isQuota(err error) bool { return errors.Is(err, unix.EDQUOT) }
