// Package vfs is the seam between Weir and the file system: every byte that the write-ahead log and the
// directory blob store keep goes through an [FS].
//
// There are three implementations. [OS] is the real thing. [Mem] lives in memory and can crash: its
// [Mem.CrashClone] is the disk as a power cut may leave it. [Fault] wraps another FS and fails chosen
// operations. The suite in vfstest holds all of them to the same rules.
//
// What an FS promises, and no more:
//
//   - Bytes are durable after File.Sync or File.SyncData returned nil. Closing a file syncs nothing.
//   - A name (made by Create, Link, Rename, MkdirAll, or taken away by Remove and Rename) is durable after
//     SyncDir of its directory returned nil, whatever was done to the file itself. [MakeDirs] does both
//     for directories.
//   - A failed sync tells nothing about what reached the disk, and the next sync may succeed although bytes
//     are gone. Callers treat it as fatal for what the file holds.
//   - Rename and Link are atomic to other callers, and after a crash.
//
// Names are paths as the operating system writes them. Errors wrap the standard ones, so callers test with
// errors.Is: fs.ErrNotExist, fs.ErrExist, and the package's [ErrLocked] and [IsNoSpace].
//
// All methods may be called from any goroutine. Reads and writes of one file at ranges that do not overlap
// may run together; where they overlap, the reader may see any mixture. An FS starts no goroutine and keeps
// no cache.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"
)

// ErrLocked is returned by FS.Lock when another process, or another lock of this one, holds the name.
var ErrLocked = errors.New("locked by another process")

// ErrUnreadable is returned for a file that cannot be opened as what it should be, such as an encrypted file whose header
// was never written.
var ErrUnreadable = errors.New("file is not readable")

// FS is a file system.
type FS interface {
	// Open opens a file for reading. Writing to it is an error. Whether a directory opens is up to the
	// implementation; reading from one is an error everywhere.
	Open(name string) (File, error)
	// OpenReadWrite opens an existing file for reading and writing, with its contents kept.
	OpenReadWrite(name string) (File, error)
	// Create makes a file, or cuts an existing one to nothing, and opens it for reading and writing. The
	// directory must exist.
	Create(name string) (File, error)
	// Link gives the file oldName a second name. It fails with fs.ErrExist if newName exists, which makes
	// it the way to create a complete file only if it is absent.
	Link(oldName, newName string) error
	// Rename moves a file, replacing a file called newName.
	Rename(oldName, newName string) error
	// Remove takes a name away: a file's, or an empty directory's. Open files stay usable.
	Remove(name string) error
	// MkdirAll makes a directory and its missing parents. An existing directory is no error.
	MkdirAll(dir string) error
	// List returns the base names in dir, sorted.
	List(dir string) ([]string, error)
	// Stat describes a file or directory.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes every earlier create, link, rename and removal of a name in dir durable.
	SyncDir(dir string) error
	// Lock takes the exclusive process lock called name, making the file if need be. It ends with Close or
	// with the process. [ErrLocked] if it is held, also if by this process.
	Lock(name string) (io.Closer, error)
	// Usage tells how full the file system that holds dir is; errors.ErrUnsupported where that is unknown.
	Usage(dir string) (Usage, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WriteDirectAt is WriteAt past the page cache, where the file system can: the bytes go from p to the device, which
	// spares a copy and the pages, and later reads come from the device. p's address and length and off must be
	// multiples of DirectAlign (see AlignedBuffer); otherwise, and where the system cannot, it is WriteAt.
	WriteDirectAt(p []byte, off int64) (int, error)
	// ReadRange reads the n bytes at off, past the page cache where the file system can, and returns them as a part of
	// buf. buf must be an AlignedBuffer of RangeBytes(n) at least. Fewer bytes are io.ErrUnexpectedEOF.
	ReadRange(buf []byte, off int64, n int) ([]byte, error)
	// Size returns the length in bytes.
	Size() (int64, error)
	// Truncate sets the length; new bytes are zero.
	Truncate(size int64) error
	// Allocate reserves blocks for [off, off+length), so that writes there cannot run out of space, and
	// grows the file to off+length if it is shorter. Bytes already written stay. length must be positive.
	Allocate(off, length int64) error
	// Renew says that what the file holds is of no more use, before it is written anew from its beginning: a file system
	// that encrypts takes another key. Other handles of the file must not be used after that.
	Renew() error
	// SyncData makes the bytes, and the length needed to read them, durable.
	SyncData() error
	// Sync makes bytes and all attributes durable.
	Sync() error
}

// Usage is the space of a file system, in bytes.
type Usage struct {
	FreeBytes  uint64 // what an unprivileged process may still write
	TotalBytes uint64
}

// IsNoSpace reports whether err says that the disk, or the quota of this user, is full.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || isQuota(err)
}

// MakeDirs makes dir and its missing parents and returns once all of their names are durable.
//
// Parents that exist are taken to be durable, so concurrent callers must not lean on each other's
// half-made directories: give each tree one maker.
func MakeDirs(fsys FS, dir string) error {
	dir = filepath.Clean(dir)
	var missing []string
	for d := dir; ; d = filepath.Dir(d) {
		info, err := fsys.Stat(d)
		if err == nil {
			if !info.IsDir() {
				return fmt.Errorf("make directory %s: %w", d, syscall.ENOTDIR)
			}
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make directory %s: %w", dir, err)
		}
		missing = append(missing, d)
		if d == filepath.Dir(d) {
			break
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	for _, d := range missing {
		if err := fsys.SyncDir(filepath.Dir(d)); err != nil {
			return fmt.Errorf("sync directory of %s: %w", d, err)
		}
	}
	return nil
}
