package vfs

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

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

// directFile opens the file a second time, past the page cache, or returns nil where that cannot be done, as on tmpfs.
// It goes by the descriptor, since the name may have changed.
func directFile(f *osFile) *os.File {
	var d *os.File
	_ = f.control(func(fd int) error { // no direct descriptor is an answer too
		var err error
		d, err = os.OpenFile("/proc/self/fd/"+strconv.Itoa(fd), f.flags|unix.O_DIRECT, 0)
		return err
	})
	return d
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
