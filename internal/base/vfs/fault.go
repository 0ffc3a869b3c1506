package vfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
)

// Kind says which operation an Op is.
type Kind uint8

// The operations that a Fault asks about: those of FS, then those of File. WriteAt and WriteDirectAt are both
// OpWrite. Closing is never failed.
const (
	OpOpen Kind = iota + 1
	OpOpenReadWrite
	OpCreate
	OpLink
	OpRename
	OpRemove
	OpMkdirAll
	OpList
	OpStat
	OpSyncDir
	OpLock
	OpUsage
	OpRead
	OpWrite
	OpSize
	OpTruncate
	OpAllocate
	OpSyncData
	OpSync
)

// Op is one operation on a Fault or a file of it.
type Op struct {
	Kind Kind
	Name string // the file; of Link and Rename the new name
	Off  int64  // bytes; of Truncate the new size
	Len  int64  // bytes
	N    int64  // which operation of the Fault this is, from 1
}

// Injector decides about one operation before it happens: nil lets it pass; any other error is returned to
// the caller and nothing is done, unless the error is from [Torn]. It may be called by many goroutines.
type Injector func(Op) error

type tornError struct {
	bytes int64
	err   error
}

func (e *tornError) Error() string { return e.err.Error() }
func (e *tornError) Unwrap() error { return e.err }

// Torn makes a write put down its first n bytes and then return err.
func Torn(n int64, err error) error { return &tornError{bytes: n, err: err} }

// FailNth fails the n-th operation, counted from 1.
func FailNth(n int64, err error) Injector {
	return func(op Op) error {
		if op.N == n {
			return err
		}
		return nil
	}
}

// FailFrom fails the n-th operation, counted from 1, and all later ones.
func FailFrom(n int64, err error) Injector {
	return func(op Op) error {
		if op.N >= n {
			return err
		}
		return nil
	}
}

// On hands to next only operations of one of kinds (none: any) on names that contain part, counted anew from 1.
func On(part string, next Injector, kinds ...Kind) Injector {
	var n atomic.Int64
	return func(op Op) error {
		if !strings.Contains(op.Name, part) || len(kinds) > 0 && !slices.Contains(kinds, op.Kind) {
			return nil
		}
		op.N = n.Add(1)
		return next(op)
	}
}

// Fault is an FS that fails on demand.
type Fault struct {
	inner  FS
	inject atomic.Pointer[Injector]
	n      atomic.Int64
}

// NewFault wraps inner. A nil inject lets everything pass.
func NewFault(inner FS, inject Injector) *Fault {
	f := &Fault{inner: inner}
	f.Inject(inject)
	return f
}

// Inject changes the injector for operations that start from now; nil lets everything pass.
func (f *Fault) Inject(inject Injector) { f.inject.Store(&inject) }

// Ops returns how many operations there were.
func (f *Fault) Ops() int64 { return f.n.Load() }

func (f *Fault) ask(op Op) error {
	op.N = f.n.Add(1)
	if inject := *f.inject.Load(); inject != nil {
		return inject(op)
	}
	return nil
}

func (f *Fault) file(kind Kind, name string, open func(string) (File, error)) (File, error) {
	if err := f.ask(Op{Kind: kind, Name: name}); err != nil {
		return nil, err
	}
	inner, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{fault: f, inner: inner, name: name}, nil
}

// Open implements FS.
func (f *Fault) Open(name string) (File, error) { return f.file(OpOpen, name, f.inner.Open) }

// OpenReadWrite implements FS.
func (f *Fault) OpenReadWrite(name string) (File, error) {
	return f.file(OpOpenReadWrite, name, f.inner.OpenReadWrite)
}

// Create implements FS.
func (f *Fault) Create(name string) (File, error) { return f.file(OpCreate, name, f.inner.Create) }

// Link implements FS.
func (f *Fault) Link(oldName, newName string) error {
	if err := f.ask(Op{Kind: OpLink, Name: newName}); err != nil {
		return err
	}
	return f.inner.Link(oldName, newName)
}

// Rename implements FS.
func (f *Fault) Rename(oldName, newName string) error {
	if err := f.ask(Op{Kind: OpRename, Name: newName}); err != nil {
		return err
	}
	return f.inner.Rename(oldName, newName)
}

// Remove implements FS.
func (f *Fault) Remove(name string) error {
	if err := f.ask(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

// MkdirAll implements FS.
func (f *Fault) MkdirAll(dir string) error {
	if err := f.ask(Op{Kind: OpMkdirAll, Name: dir}); err != nil {
		return err
	}
	return f.inner.MkdirAll(dir)
}

// List implements FS.
func (f *Fault) List(dir string) ([]string, error) {
	if err := f.ask(Op{Kind: OpList, Name: dir}); err != nil {
		return nil, err
	}
	return f.inner.List(dir)
}

// Stat implements FS.
func (f *Fault) Stat(name string) (fs.FileInfo, error) {
	if err := f.ask(Op{Kind: OpStat, Name: name}); err != nil {
		return nil, err
	}
	return f.inner.Stat(name)
}

// SyncDir implements FS.
func (f *Fault) SyncDir(dir string) error {
	if err := f.ask(Op{Kind: OpSyncDir, Name: dir}); err != nil {
		return err
	}
	return f.inner.SyncDir(dir)
}

// Lock implements FS.
func (f *Fault) Lock(name string) (io.Closer, error) {
	if err := f.ask(Op{Kind: OpLock, Name: name}); err != nil {
		return nil, err
	}
	return f.inner.Lock(name)
}

// Usage implements FS.
func (f *Fault) Usage(dir string) (Usage, error) {
	if err := f.ask(Op{Kind: OpUsage, Name: dir}); err != nil {
		return Usage{}, err
	}
	return f.inner.Usage(dir)
}

type faultFile struct {
	fault *Fault
	inner File
	name  string
}

func (f *faultFile) ask(kind Kind, off, length int64) error {
	return f.fault.ask(Op{Kind: kind, Name: f.name, Off: off, Len: length})
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.ask(OpRead, off, int64(len(p))); err != nil {
		return 0, err
	}
	return f.inner.ReadAt(p, off)
}

func (f *faultFile) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	if err := f.ask(OpRead, off, int64(n)); err != nil {
		return nil, err
	}
	return f.inner.ReadRange(buf, off, n)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	return f.write(p, off, f.inner.WriteAt)
}

func (f *faultFile) WriteDirectAt(p []byte, off int64) (int, error) {
	return f.write(p, off, f.inner.WriteDirectAt)
}

func (f *faultFile) write(p []byte, off int64, to func([]byte, int64) (int, error)) (int, error) {
	err := f.ask(OpWrite, off, int64(len(p)))
	if err == nil {
		return to(p, off)
	}
	torn, ok := errors.AsType[*tornError](err)
	if !ok {
		return 0, err
	}
	n, innerErr := f.inner.WriteAt(p[:min(int64(len(p)), torn.bytes)], off)
	return n, errors.Join(err, innerErr)
}

func (f *faultFile) Size() (int64, error) {
	if err := f.ask(OpSize, 0, 0); err != nil {
		return 0, err
	}
	return f.inner.Size()
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.ask(OpTruncate, size, 0); err != nil {
		return err
	}
	return f.inner.Truncate(size)
}

func (f *faultFile) Allocate(off, length int64) error {
	if err := f.ask(OpAllocate, off, length); err != nil {
		return err
	}
	return f.inner.Allocate(off, length)
}

func (f *faultFile) Renew() error { return f.inner.Renew() }

func (f *faultFile) SyncData() error {
	if err := f.ask(OpSyncData, 0, 0); err != nil {
		return err
	}
	return f.inner.SyncData()
}

func (f *faultFile) Sync() error {
	if err := f.ask(OpSync, 0, 0); err != nil {
		return err
	}
	return f.inner.Sync()
}

func (f *faultFile) Close() error { return f.inner.Close() }
