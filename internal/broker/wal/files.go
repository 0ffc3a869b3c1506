package wal

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// file is one file of the chain. Its fields are guarded by Log.mu, but for f, base and bytes, which do not change.
type file struct {
	f         vfs.File
	name      string // base name, while in the chain
	base      Position
	bytes     int64 // positions it covers
	allocated int64 // bytes it has on disk
	pins      int
	trimmed   bool
}

func (f *file) end() Position { return f.base + Position(f.bytes) }

const (
	fileSuffix    = ".wal"
	sparePrefix   = "spare-"
	preparePrefix = "new-"
)

// fileName is the name of the file that begins at base: its position in hexadecimal, so that names sort as positions do.
func fileName(base Position) string { return fmt.Sprintf("%016x%s", int64(base), fileSuffix) }

// parseFileName is the inverse of fileName.
func parseFileName(name string) (Position, bool) {
	digits, ok := strings.CutSuffix(name, fileSuffix)
	if !ok || len(digits) != 16 || strings.ToLower(digits) != digits {
		return 0, false
	}
	v, err := strconv.ParseUint(digits, 16, 63)
	return Position(v), err == nil
}

// fileAt returns the file of the chain that covers p, or nil.
func (l *Log) fileAt(p Position) *file {
	i, found := slices.BinarySearchFunc(l.files, p, func(f *file, p Position) int { return int(min(1, max(-1, f.base-p))) })
	if !found {
		i--
	}
	if i < 0 || p >= l.files[i].end() {
		return nil
	}
	return l.files[i]
}

// Pinned is a place in a file that stays readable until Release, which must be called once.
type Pinned struct {
	Source  Source // read only what is below Durable
	Off     int64  // of the position in Source
	ID      any    // of Source, comparable; never that of another one
	Durable int64  // bytes of Source that do not change any more
	Whole   bool   // Source ends at Durable and never grows
	Release func()
}

// Source is a file or an object with frames in it. Its methods are those of vfs.File.
type Source interface {
	ReadAt(p []byte, off int64) (int, error)
	ReadRange(buf []byte, off int64, n int) ([]byte, error)
}

// Apart is ObjectLog.Apart: frames lie one after another in a file.
func (l *Log) Apart() bool { return false }

// Place is ObjectLog.Place: a file is no object that others could read.
func (l *Log) Place(Position) (Place, bool) { return Place{}, false }

// Pin keeps the file that holds pos from being recycled. pos must lie below Tail. ErrTrimmed if the file is gone.
func (l *Log) Pin(_ context.Context, pos Position) (Pinned, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state == stateNew || l.closedDown:
		return Pinned{}, ErrClosed
	case pos < 0 || pos >= l.durable:
		return Pinned{}, fmt.Errorf("%w: %v, the log ends at %v", ErrNotWritten, pos, l.durable)
	}
	f := l.fileAt(pos)
	if f == nil {
		return Pinned{}, fmt.Errorf("%w: %v", ErrTrimmed, pos)
	}
	f.pins++
	return Pinned{Source: f.f, Off: int64(pos - f.base), ID: f.base, Durable: min(int64(l.durable-f.base), f.bytes), Release: func() { l.unpin(f) }}, nil
}

func (l *Log) unpin(f *file) {
	l.mu.Lock()
	f.pins--
	last := f.pins == 0
	closeIt := last && l.closedDown
	if last && f.trimmed {
		l.prep.kick()
	}
	l.mu.Unlock()
	if closeIt {
		f.f.Close() //nolint:errcheck // nothing unsynced is of use any more
	}
}

// directReadMin is the size from which Read goes past the page cache, where pages for bytes that nobody asks for again would have to be
// found. What is shorter is better read by the system, which takes what lies around it too.
const directReadMin = 32 << 10

// Read returns the n bytes of the log at pos in buf, a vfs.AlignedBuffer of vfs.RangeBytes(n) at least; they may be changed. The range must
// lie in one frame, below Tail. ErrTrimmed if the file is gone. The bytes are as the disk gives them: their checksum is that of their Run.
func (l *Log) Read(ctx context.Context, buf []byte, pos Position, n int) ([]byte, error) {
	pin, err := l.Pin(ctx, pos)
	if err != nil {
		return nil, err
	}
	defer pin.Release()
	if n >= directReadMin {
		p, err := pin.Source.ReadRange(buf, pin.Off, n)
		if err != nil {
			return nil, fmt.Errorf("wal: read %d bytes at %v: %w", n, pos, err)
		}
		return p, nil
	}
	if _, err := pin.Source.ReadAt(buf[:n], pin.Off); err != nil {
		return nil, fmt.Errorf("wal: read %d bytes at %v: %w", n, pos, err)
	}
	return buf[:n], nil
}

// Trim gives up the log below before, but for the files that hold one of the positions keep. Files wholly below it are recycled
// once nobody has them pinned; the file with the last durable frame always stays. The caller must never again scan from below before.
func (l *Log) Trim(before Position, keep ...Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.files[:0:0]
	for _, f := range l.files {
		needed := slices.ContainsFunc(keep, func(p Position) bool { return f.base <= p && p < f.end() })
		if needed || f.end() > min(before, l.durable-1) {
			kept = append(kept, f)
			continue
		}
		f.trimmed = true
		l.prep.trimmed = append(l.prep.trimmed, f)
	}
	if len(kept) < len(l.files) {
		l.files = kept
		l.prep.kick()
	}
}

// Bytes is what the chain holds on disk between the oldest byte not trimmed and Tail.
func (l *Log) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, f := range l.files {
		if f.base < l.durable {
			n += min(f.allocated, int64(l.durable-f.base))
		}
	}
	return n
}

// NoSpace says that the chain cannot grow: the disk is full, or MaxBytes are held. Appends are refused once what is prepared is used up.
func (l *Log) NoSpace() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.noSpace
}

func (l *Log) path(name string) string { return filepath.Join(l.o.Dir, name) }
