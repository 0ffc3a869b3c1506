package vfs

import (
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

const (
	filePermissions = 0o640
	dirPermissions  = 0o750
)

// OS returns the file system of the operating system.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Open(name string) (File, error) { return openOS(name, os.O_RDONLY) }

func (osFS) OpenReadWrite(name string) (File, error) { return openOS(name, os.O_RDWR) }

func (osFS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (osFS) Link(oldName, newName string) error   { return os.Link(oldName, newName) }
func (osFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }
func (osFS) Remove(name string) error             { return os.Remove(name) }
func (osFS) MkdirAll(dir string) error            { return os.MkdirAll(dir, dirPermissions) }
func (osFS) Stat(name string) (fs.FileInfo, error) {
	return os.Stat(name)
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = syncDir(d)
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, filePermissions)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		_ = f.Close() // the lock's error is the one to tell
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	return f, nil
}

func (osFS) Usage(dir string) (Usage, error) {
	u, err := diskUsage(dir)
	if err != nil {
		return Usage{}, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return u, nil
}

func openOS(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, flags, filePermissions)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return &osFile{File: f, raw: raw, flags: flags &^ (os.O_CREATE | os.O_TRUNC)}, nil
}

// osFile adds to *os.File what the platform files (os_linux.go, os_other.go) implement. raw keeps the
// descriptor alive during a system call, so that a concurrent Close cannot hand its number to another file.
type osFile struct {
	*os.File
	raw   syscall.RawConn
	flags int

	// direct is a second descriptor of the file, past the page cache; it is opened at its first use, and nil where the
	// file system has none.
	directOnce sync.Once
	direct     *os.File
}

func (f *osFile) openDirect() *os.File {
	f.directOnce.Do(func() { f.direct = directFile(f) })
	return f.direct
}

func (f *osFile) WriteDirectAt(p []byte, off int64) (int, error) {
	if d := f.openDirect(); d != nil && isAligned(p, off) {
		return d.WriteAt(p, off)
	}
	return f.WriteAt(p, off)
}

func (f *osFile) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	d := f.openDirect()
	from := off / DirectAlign * DirectAlign
	end := (off + int64(n) + DirectAlign - 1) / DirectAlign * DirectAlign
	if d == nil || end-from > int64(len(buf)) || !isAligned(buf[:end-from], from) {
		return readRange(f, buf, off, n)
	}
	got, err := d.ReadAt(buf[:end-from], from)
	if skip := int(off - from); got >= skip+n {
		return buf[skip : skip+n], nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return nil, f.fail("read", err)
}

// Renew does nothing: the file system takes bytes as they are.
func (f *osFile) Renew() error { return nil }

func (f *osFile) Close() error {
	f.directOnce.Do(func() {})
	if f.direct != nil {
		_ = f.direct.Close() // what was written through it is synced through the other, or not at all
	}
	return f.File.Close()
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.Name(), Err: err}
}

// writeZeros reserves [off, off+length) the slow way, where the file system cannot: bytes past the end are
// written, those before it are left alone.
func (f *osFile) writeZeros(off, length int64) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for off, end := max(off, size), off+length; off < end; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), end-off)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
