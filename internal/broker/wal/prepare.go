package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/vfs"
)

const (
	// aheadBytes is how much of the chain is prepared ahead in quiet times: more than the device writes while the preparer
	// waits for its turn.
	aheadBytes = 64 << 20
	// leastBytes is how much is still worth having when a disk or MaxBytes has no room for more.
	leastBytes = 4 << 20
	// burstTime is the age of the last preparation below which the log is in a burst, and twice as much is prepared.
	burstTime = time.Second
	// noSpaceRetry is how long the preparer waits before it asks a full disk again.
	noSpaceRetry = 500 * time.Millisecond
)

// preparer makes the files of the chain ready ahead of the lanes, and recycles trimmed ones. It is the only one to change the
// directory. trimmed and the fields of Log that it publishes are guarded by Log.mu; the rest belongs to its goroutine.
type preparer struct {
	l        *Log
	kicked   chan struct{} // holds at most one
	lowBytes int64         // with less than this prepared it is kicked
	trimmed  []*file       // out of the chain, not yet recycled

	spares    []*file // under a spare name, each FileBytes long
	spareName int     // number of the next spare name
	ahead     int64   // bytes to have prepared
	least     int64   // of them, where space is short
	last      time.Time
}

func newPreparer(l *Log) *preparer {
	ahead := min(aheadBytes, l.o.FileBytes*int64(l.o.SpareFiles))
	return &preparer{l: l, kicked: make(chan struct{}, 1), ahead: ahead, least: min(ahead, leastBytes), lowBytes: ahead / 2}
}

// kick has the preparer look for work. It may be called under Log.mu: it does not block.
func (p *preparer) kick() {
	select {
	case p.kicked <- struct{}{}:
	default:
	}
}

// open reads the directory: it registers the files of earlier incarnations, and makes spares of those that hold nothing of the log.
func (p *preparer) open() error {
	l := p.l
	names, err := l.o.FS.List(l.o.Dir)
	if err != nil {
		return fmt.Errorf("list the log's directory: %w", err)
	}
	for _, name := range names {
		if base, ok := parseFileName(name); ok && base < l.o.Start {
			if err := p.register(name, base); err != nil {
				return err
			}
		}
	}
	// The highest go first: if a crash undoes the last of these renames, what is left still follows from what is before it.
	for _, name := range slices.Backward(names) {
		base, ok := parseFileName(name)
		// A file of the chain was prepared by an incarnation that never used it: its frames, if any, were never complete.
		if ok && base >= l.o.Start || strings.HasPrefix(name, sparePrefix) || strings.HasPrefix(name, preparePrefix) {
			if err := p.adopt(name); err != nil {
				return err
			}
		}
	}
	// No leftover may come back under its old name behind files of this incarnation.
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return fmt.Errorf("sync the log's directory: %w", err)
	}
	return nil
}

// register adds a file of an earlier incarnation to the chain.
func (p *preparer) register(name string, base Position) error {
	l := p.l
	h, f, err := openFile(l.o.FS, l.path(name), base, l.o.ClusterID)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return errors.Join(fmt.Errorf("size of %s: %w", name, err), f.Close())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, &file{f: f, name: name, base: base, bytes: h.FileBytes, allocated: min(size, h.FileBytes)})
	return nil
}

// openFile opens a file of the chain and reads its header.
func openFile(fsys vfs.FS, path string, base Position, cluster [16]byte) (h fileHeader, f vfs.File, err error) {
	if f, err = fsys.Open(path); err != nil {
		return h, nil, fmt.Errorf("open write-ahead log file: %w", err)
	}
	var b [128]byte
	if _, err = f.ReadAt(b[:], 0); err == nil {
		err = h.decode(b[:])
	}
	switch {
	case err != nil:
		err = &CorruptError{File: path, Position: base, Reason: "file header: " + err.Error()}
	case h.Base != base:
		err = &CorruptError{File: path, Position: base, Reason: fmt.Sprintf("file header names position %v", h.Base)}
	case h.Cluster != cluster:
		err = fmt.Errorf("%s belongs to cluster %x, not to %x", path, h.Cluster, cluster)
	default:
		return h, f, nil
	}
	return h, nil, errors.Join(err, f.Close())
}

// adopt makes a spare of a file whose contents are of no use, or removes it if it is no good as one.
func (p *preparer) adopt(name string) error {
	l := p.l
	spare := p.nextSpareName()
	for spare != name {
		if _, err := l.o.FS.Stat(l.path(spare)); errors.Is(err, fs.ErrNotExist) {
			break
		}
		spare = p.nextSpareName()
	}
	if spare != name {
		if err := l.o.FS.Rename(l.path(name), l.path(spare)); err != nil {
			return fmt.Errorf("set a left-over log file aside: %w", err)
		}
	}
	f, err := p.openSpare(spare)
	if f == nil || err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return errors.Join(fmt.Errorf("size of %s: %w", spare, err), f.Close())
	}
	return p.keep(&file{f: f, name: spare, allocated: size})
}

// openSpare opens a file under a spare name for writing. One that cannot be written, since nothing was ever written to it or it
// is of before encryption, is removed: then the file is nil.
func (p *preparer) openSpare(spare string) (vfs.File, error) {
	l := p.l
	f, err := l.o.FS.OpenReadWrite(l.path(spare))
	if errors.Is(err, vfs.ErrUnreadable) {
		if err := l.o.FS.Remove(l.path(spare)); err != nil {
			return nil, fmt.Errorf("remove a log file: %w", err)
		}
		return nil, nil //nolint:nilnil // there is no file, and that is no error
	}
	if err != nil {
		return nil, fmt.Errorf("open a log file as a spare: %w", err)
	}
	return f, nil
}

func (p *preparer) nextSpareName() string {
	p.spareName++
	return fmt.Sprintf("%s%06d", sparePrefix, p.spareName)
}

// keep puts a file under a spare name among the spares, or removes it if it has the wrong size or there are enough.
func (p *preparer) keep(f *file) error {
	l := p.l
	if f.allocated != l.o.FileBytes || len(p.spares) >= l.o.SpareFiles {
		if err := errors.Join(f.f.Close(), l.o.FS.Remove(l.path(f.name))); err != nil {
			return fmt.Errorf("remove a log file: %w", err)
		}
		return nil
	}
	p.spares = append(p.spares, f)
	l.metrics.spareFiles.Set(float64(len(p.spares)))
	return nil
}

// run prepares and recycles until ctx ends.
func (p *preparer) run(ctx context.Context) error {
	retry := time.NewTimer(noSpaceRetry)
	defer retry.Stop()
	for {
		err := p.recycle()
		if err == nil {
			err = p.extend()
		}
		var again <-chan time.Time
		if isFull(err) {
			retry.Reset(noSpaceRetry)
			again, err = retry.C, nil
		}
		if err != nil {
			return err
		}
		select {
		case <-p.kicked:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

// recycle makes spares of trimmed files that nobody has pinned.
func (p *preparer) recycle() error {
	l := p.l
	l.mu.Lock()
	var idle []*file
	p.trimmed = slices.DeleteFunc(p.trimmed, func(f *file) bool {
		if f.pins == 0 {
			idle = append(idle, f)
		}
		return f.pins == 0
	})
	l.mu.Unlock()
	for _, f := range idle {
		if err := p.retire(f); err != nil {
			return err
		}
	}
	if len(idle) == 0 {
		return nil
	}
	// A spare gets a new header: by then its old name must be gone for good.
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return fmt.Errorf("sync the log's directory: %w", err)
	}
	return nil
}

// retire takes a file out of the directory's chain. Files of earlier incarnations are open for reading only, so it opens them anew.
func (p *preparer) retire(f *file) error {
	l := p.l
	spare := p.nextSpareName()
	if err := l.o.FS.Rename(l.path(f.name), l.path(spare)); err != nil {
		return fmt.Errorf("recycle a log file: %w", err)
	}
	if err := f.f.Close(); err != nil {
		return fmt.Errorf("close a trimmed log file: %w", err)
	}
	w, err := p.openSpare(spare)
	if w == nil || err != nil {
		return err
	}
	return p.keep(&file{f: w, name: spare, allocated: f.allocated})
}

// extend prepares until enough is ready. An error that isFull accepts has been noted: appends are refused until a later call succeeds.
func (p *preparer) extend() error {
	l := p.l
	for first := true; ; first = false {
		l.mu.Lock()
		goal := max(l.reserved+Position(p.ahead), l.want)
		done := l.prepared >= goal
		held := p.heldBytes()
		var tail *file
		if n := len(l.files); n > 0 && l.files[n-1].base >= l.o.Start {
			tail = l.files[n-1]
		}
		l.mu.Unlock()
		if done {
			p.publish(nil, 0, false)
			return nil
		}
		if first {
			p.adapt()
		}
		var err error
		if tail != nil && tail.allocated < tail.bytes {
			err = p.grow(tail, held)
		} else {
			err = p.add(held)
		}
		if isFull(err) && p.ahead > p.least {
			p.ahead = max(p.ahead/2, p.least) // there may be space for less
			continue
		}
		if err != nil {
			if isFull(err) {
				p.publish(nil, 0, true)
			}
			return err
		}
	}
}

// adapt prepares more at a time in a burst and less after it.
func (p *preparer) adapt() {
	now := time.Now()
	most := p.l.o.FileBytes * int64(p.l.o.SpareFiles)
	if now.Sub(p.last) < burstTime {
		p.ahead = min(2*p.ahead, most)
	} else {
		p.ahead = max(p.ahead/2, min(aheadBytes, most))
	}
	p.last = now
}

// heldBytes is what the chain takes on disk. Log.mu is held.
func (p *preparer) heldBytes() int64 {
	var n int64
	for _, f := range p.l.files {
		n += f.allocated
	}
	for _, f := range p.trimmed {
		n += f.allocated
	}
	return n
}

// errChainFull says that MaxBytes are held; isFull accepts it.
var errChainFull = fmt.Errorf("the chain has its most bytes: %w", errNoSpaceSystem)

// errDiskShort says that what is left of the disk is not the log's; isFull accepts it.
var errDiskShort = fmt.Errorf("the rest of the disk is for others: %w", errNoSpaceSystem)

// leave refuses n more bytes of the disk if fewer than LeaveBytes are free then.
func (p *preparer) leave(n int64) error {
	if p.l.o.LeaveBytes == 0 {
		return nil
	}
	usage, err := p.l.o.FS.Usage(p.l.o.Dir)
	if err == nil && usage.FreeBytes < uint64(n+p.l.o.LeaveBytes) {
		return errDiskShort
	}
	return nil //nolint:nilerr // nobody knows how much is free: the disk itself will refuse
}

// grow gives the last file of the chain more blocks.
func (p *preparer) grow(f *file, held int64) error {
	l := p.l
	n := min(f.bytes-f.allocated, p.ahead)
	if l.o.MaxBytes > 0 && held+n > l.o.MaxBytes {
		return errChainFull
	}
	if err := p.leave(n); err != nil {
		return err
	}
	if err := f.f.Allocate(f.allocated, n); err != nil {
		// Blocks may have been had for a part; nothing is written there, so they can go.
		if terr := f.f.Truncate(f.allocated); terr != nil {
			return fmt.Errorf("cut %s back to %d after %w: %w", f.name, f.allocated, fatal(err), terr)
		}
		return fmt.Errorf("allocate %d bytes of %s: %w", n, f.name, err)
	}
	p.publish(f, f.allocated+n, false)
	return nil
}

// add puts the next file at the end of the chain: complete with its header, durable, and only then under its final name.
func (p *preparer) add(held int64) error {
	l := p.l
	l.mu.Lock()
	base := l.prepared
	l.mu.Unlock()
	f := &file{name: fileName(base), base: base, bytes: l.o.FileBytes}
	from := preparePrefix + f.name
	n := min(l.o.FileBytes, max(p.ahead, minFileBytes))
	if len(p.spares) > 0 {
		n = l.o.FileBytes
	}
	if l.o.MaxBytes > 0 && held+n > l.o.MaxBytes {
		return errChainFull
	}
	if k := len(p.spares); k > 0 {
		spare := p.spares[k-1]
		p.spares = p.spares[:k-1]
		l.metrics.spareFiles.Set(float64(k - 1))
		f.f, from = spare.f, spare.name
		if err := f.f.Renew(); err != nil {
			return fmt.Errorf("renew %s: %w", from, fatal(err))
		}
	} else {
		if err := p.leave(n); err != nil {
			return err
		}
		w, err := l.o.FS.Create(l.path(from))
		if err != nil {
			return fmt.Errorf("make a log file: %w", err)
		}
		f.f = w
		if err := w.Allocate(0, n); err != nil {
			if rerr := errors.Join(w.Close(), l.o.FS.Remove(l.path(from))); rerr != nil {
				return fmt.Errorf("remove %s after %w: %w", from, fatal(err), rerr)
			}
			return fmt.Errorf("allocate %d bytes for a log file: %w", n, err)
		}
	}
	var page [fileHeaderBytes]byte
	h := fileHeader{
		Cluster: l.o.ClusterID, Incarnation: l.o.Incarnation, Nonce: l.o.Nonce, Base: base, FileBytes: l.o.FileBytes,
		Start: l.o.Start, Recovered: l.o.Recovered,
	}
	h.encode(page[:])
	if _, err := f.f.WriteAt(page[:], 0); err != nil {
		return fmt.Errorf("write the header of %s: %w", f.name, fatal(err))
	}
	if err := f.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", f.name, fatal(err))
	}
	if err := l.o.FS.Rename(l.path(from), l.path(f.name)); err != nil {
		return fmt.Errorf("name %s: %w", f.name, fatal(err))
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return fmt.Errorf("sync the log's directory: %w", fatal(err))
	}
	p.publish(f, n, false)
	return nil
}

// publish makes known that f, which may be new, has blocks up to allocated, or that no space was found.
func (p *preparer) publish(f *file, allocated int64, noSpace bool) {
	l := p.l
	l.mu.Lock()
	if f != nil {
		if n := len(l.files); n == 0 || l.files[n-1].base < f.base {
			l.files = append(l.files, f)
		}
		f.allocated = allocated
		l.prepared = f.base + Position(allocated)
	}
	changed := noSpace != l.noSpace
	l.noSpace = noSpace
	l.metrics.files.Set(float64(len(l.files)))
	if changed || f != nil {
		l.admit()
	}
	l.mu.Unlock()
	switch {
	case changed && noSpace:
		l.o.Logger.Error("write-ahead log has no space left, appends are refused until there is", "dir", l.o.Dir)
	case changed:
		l.o.Logger.Info("write-ahead log has space again", "dir", l.o.Dir)
	}
}

// fatalError is an error after which the state of the directory or of a file is unknown, even if the cause is a full disk.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

func fatal(err error) error { return fatalError{err} }

// isFull reports whether err says that there is no space and nothing has happened.
func isFull(err error) bool {
	if _, ok := errors.AsType[fatalError](err); ok {
		return false
	}
	return vfs.IsNoSpace(err)
}
