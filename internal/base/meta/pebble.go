package meta

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// The keys in Pebble: a letter for the kind, then the name.
//
//	'f'        the version of this layout, one byte
//	'k' key    the entry of key, see envelope.go
//	'l' key    nothing: key has a lease, which ended with the process that wrote this
//	'r'        the revision of the last transaction, 8 bytes big endian
const (
	formatKey     = "f"
	entryPrefix   = "k"
	leasePrefix   = "l"
	revisionKey   = "r"
	layoutVersion = 1
)

// DefaultReserveBytes is the space that must be free for a transaction to be tried. It is far above what
// one needs, since Pebble cannot survive a write that fails half way.
const DefaultReserveBytes = 8 << 20

// PebbleOptions are the options of OpenPebble.
type PebbleOptions struct {
	// FS is where the store lies. Nil: the operating system's. Tests pass Pebble's crashable memory.
	FS pebblevfs.FS
	// Clock is the time of leases. Nil: the machine's.
	Clock Clock
	// Logger gets Pebble's own words, at level debug, and its last ones at error. Nil: none.
	Logger *slog.Logger
	// ReserveBytes is the space that must be free for a transaction to be tried. 0: DefaultReserveBytes.
	ReserveBytes uint64
}

// Pebble is a Store on local disk, held by one process at a time.
type Pebble struct{ *engine }

// OpenPebble opens the store in dir, making it if need be. Keys under lease are deleted: their owners were
// in the process before. A store held by another process is an error.
func OpenPebble(dir string, o PebbleOptions) (*Pebble, error) {
	if o.FS == nil {
		o.FS = pebblevfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = DefaultReserveBytes
	}
	opts := smallOptions(o)
	if err := begin(dir, opts); err != nil {
		return nil, fmt.Errorf("begin metadata in %s: %w", dir, err)
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open metadata in %s: %w", dir, err)
	}
	b := &pebbleBackend{db: db, fs: o.FS, dir: dir, reserve: o.ReserveBytes}
	b.publish()
	revision, err := b.start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open metadata in %s: %w", dir, err), b.close())
	}
	return &Pebble{engine: newEngine(b, o.Clock, revision)}, nil
}

// formatMarker is how Pebble calls the marker of its format in a store.
const formatMarker = "format-version"

// begin notes the format of a store that does not exist yet. Pebble itself would begin at its oldest format and go through all of them up to
// ours, with a file and a sync of the folder for each. A crash in between leaves a folder with the marker alone, which Pebble
// takes for a store without anything in it.
func begin(dir string, o *pebble.Options) error {
	if err := makeFolder(o.FS, dir); err != nil {
		return err
	}
	names, err := o.FS.List(dir)
	if err != nil || len(names) > 0 {
		return err
	}
	marker, _, err := atomicfs.LocateMarker(o.FS, dir, formatMarker)
	if err != nil {
		return err
	}
	return errors.Join(marker.Move(o.FormatMajorVersion.String()), marker.Close())
}

// makeFolder makes dir, and what is above it, durably.
func makeFolder(fs pebblevfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	parent := cmp.Or(fs.PathDir(dir), ".")
	if parent != dir {
		if err := makeFolder(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	d, err := fs.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// smallOptions fit a few megabytes that change seldom: the defaults are for a database server. The memtable
// must hold two of the largest transactions, for Pebble turns larger batches into files of their own.
func smallOptions(o PebbleOptions) *pebble.Options {
	opts := &pebble.Options{
		FS:        o.FS,
		CacheSize: 1 << 20,
		Logger:    pebbleLogger{o.Logger},
		// The log tells a torn tail from damage since this format.
		FormatMajorVersion:          pebble.FormatWALSyncChunks,
		MemTableSize:                4 << 20, // starts at 256 KiB and grows with use
		MemTableStopWritesThreshold: 2,
		MaxManifestFileSize:         1 << 20,
		MaxOpenFiles:                64,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 1 },
		DisableTableStats:           true, // a scan in the background after each opening
	}
	return opts
}

type pebbleBackend struct {
	db      *pebble.DB
	fs      pebblevfs.FS
	dir     string
	reserve uint64
	marked  bool // the layout version is written; owned by the holder of the baton

	view  atomic.Pointer[pebbleView] // nil when closed
	views sync.WaitGroup             // views not closed yet; Add by the holder of the baton only
}

// pebbleView is the store after a commit that was synced. Reading the database itself would show
// a commit before its sync.
type pebbleView struct {
	*pebble.Snapshot
	refs atomic.Int64 // the backend's own, and readers; closed at 0
	all  *sync.WaitGroup
}

func (v *pebbleView) acquire() bool {
	for {
		n := v.refs.Load()
		if n == 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (v *pebbleView) release() {
	if v.refs.Add(-1) == 0 {
		_ = v.Close() // fails only if closed before
		v.all.Done()
	}
}

// publish makes everything committed visible.
func (b *pebbleBackend) publish() {
	v := &pebbleView{Snapshot: b.db.NewSnapshot(), all: &b.views}
	v.refs.Store(1)
	b.views.Add(1)
	if old := b.view.Swap(v); old != nil {
		old.release()
	}
}

// read returns the present view; the caller releases it.
func (b *pebbleBackend) read() (*pebbleView, error) {
	for {
		v := b.view.Load()
		if v == nil {
			return nil, ErrClosed
		}
		if v.acquire() {
			return v, nil
		}
	}
}

// start checks the layout, deletes what was under lease, and returns the revision.
func (b *pebbleBackend) start() (int64, error) {
	v, err := b.read()
	if err != nil {
		return 0, err
	}
	defer v.release()
	format, err := getCopy(v, []byte(formatKey))
	if err != nil {
		return 0, err
	}
	if format != nil && !bytes.Equal(format, []byte{layoutVersion}) {
		return 0, fmt.Errorf("metadata of layout %x, this program knows %d", format, layoutVersion)
	}
	b.marked = format != nil
	raw, err := getCopy(v, []byte(revisionKey))
	if err != nil {
		return 0, err
	}
	revision := int64(0)
	if raw != nil {
		if len(raw) != 8 || binary.BigEndian.Uint64(raw) > math.MaxInt64 {
			return 0, fmt.Errorf("revision of the store: %w", ErrCorrupt)
		}
		revision = int64(binary.BigEndian.Uint64(raw))
	}
	orphans := make(map[string]change)
	err = visit(v, leasePrefix, "", func(key string, _ []byte) (bool, error) {
		orphans[key] = change{record: record{revision: revision + 1}, deleted: true, wasLeased: true}
		return true, nil
	})
	if err != nil || len(orphans) == 0 {
		return revision, err
	}
	revision++
	return revision, b.commit(orphans, revision)
}

// getCopy returns the value of a raw key; nil if there is none.
func getCopy(v *pebbleView, key []byte) ([]byte, error) {
	raw, closer, err := v.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	value := append([]byte{}, raw...)
	return value, closer.Close()
}

// visit calls f for the keys that start with kind and prefix, without the kind, until it returns false. The
// value is valid during the call.
func visit(v *pebbleView, kind, prefix string, f func(key string, value []byte) (bool, error)) (err error) {
	start := []byte(kind + prefix)
	it, err := v.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: successor(start)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if more, err := f(strings.TrimPrefix(string(it.Key()), kind), value); err != nil || !more {
			return err
		}
	}
	return it.Error()
}

// successor returns the first key after all that start with prefix; nil if there is none.
func successor(prefix []byte) []byte {
	end := bytes.TrimRight(prefix, "\xff")
	if len(end) == 0 {
		return nil
	}
	end = bytes.Clone(end)
	end[len(end)-1]++
	return end
}

func (b *pebbleBackend) get(key string) (record, bool, error) {
	v, err := b.read()
	if err != nil {
		return record{}, false, err
	}
	defer v.release()
	raw, err := getCopy(v, []byte(entryPrefix+key))
	if err != nil || raw == nil {
		return record{}, false, err
	}
	rec, err := parseRecord(raw)
	return rec, err == nil, err
}

func (b *pebbleBackend) scan(prefix, after string, limit int) ([]Entry, error) {
	v, err := b.read()
	if err != nil {
		return nil, err
	}
	defer v.release()
	bounds := &pebble.IterOptions{
		LowerBound: []byte(entryPrefix + max(prefix, after+"\x00")),
		UpperBound: successor([]byte(entryPrefix + prefix)),
	}
	if bytes.Compare(bounds.LowerBound, bounds.UpperBound) >= 0 {
		return nil, nil
	}
	it, err := v.NewIter(bounds)
	if err != nil {
		return nil, err
	}
	entries, err := collect(it, limit)
	return entries, errors.Join(err, it.Close())
}

func collect(it *pebble.Iterator, limit int) ([]Entry, error) {
	var entries []Entry
	for ok := it.First(); ok && (limit <= 0 || len(entries) < limit); ok = it.Next() {
		raw, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		key := string(it.Key()[len(entryPrefix):])
		rec, err := parseRecord(bytes.Clone(raw))
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		entries = append(entries, Entry{Key: key, Value: rec.value, Revision: rec.revision})
	}
	return entries, it.Error()
}

// commit implements backend. Pebble reports a write that failed by its logger's Fatalf, which must not
// return; see pebbleLogger.
func (b *pebbleBackend) commit(changes map[string]change, revision int64) (err error) {
	defer func() {
		if p := recover(); p != nil {
			fatal, ok := p.(fatalError)
			if !ok {
				panic(p)
			}
			err = fatal
		}
	}()
	batch := b.db.NewBatch()
	if !b.marked {
		err = batch.Set([]byte(formatKey), []byte{layoutVersion}, nil)
	}
	var value []byte
	for key, c := range changes {
		entry, mark := []byte(entryPrefix+key), []byte(leasePrefix+key)
		if c.deleted {
			err = errors.Join(err, batch.Delete(entry, nil))
		} else {
			value = appendRecord(value[:0], c.record)
			err = errors.Join(err, batch.Set(entry, value, nil))
		}
		switch {
		case c.lease != 0 && !c.wasLeased:
			err = errors.Join(err, batch.Set(mark, nil, nil))
		case c.lease == 0 && c.wasLeased:
			err = errors.Join(err, batch.Delete(mark, nil))
		}
	}
	err = errors.Join(err, batch.Set([]byte(revisionKey), binary.BigEndian.AppendUint64(nil, uint64(revision)), nil))
	if err != nil {
		return err
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return err
	}
	b.marked = true
	b.publish()
	return batch.Close()
}

func (b *pebbleBackend) room() error {
	usage, err := b.fs.GetDiskUsage(b.dir)
	if err != nil {
		return nil //nolint:nilerr // not every file system can tell; then the write will
	}
	if usage.AvailBytes < b.reserve {
		return fmt.Errorf("%d bytes free, %d needed: %w", usage.AvailBytes, b.reserve, ErrNoSpace)
	}
	return nil
}

// close waits for readers, whose work is short.
func (b *pebbleBackend) close() (err error) {
	if v := b.view.Swap(nil); v != nil {
		v.release()
	}
	b.views.Wait()
	defer func() {
		if p := recover(); p != nil {
			fatal, ok := p.(fatalError)
			if !ok {
				panic(p)
			}
			err = fatal
		}
	}()
	return b.db.Close()
}

// fatalError is the end of Pebble, on its way as a panic from pebbleLogger to the caller.
type fatalError struct{ text string }

func (e fatalError) Error() string { return e.text }

// pebbleLogger keeps Pebble quiet.
type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Debug("pebble", "severity", "error", "text", fmt.Sprintf(format, args...))
}

// Fatalf panics, since Pebble takes it for granted that it does not return. In a commit the panic becomes
// the store's ErrFailed; in a goroutine of Pebble it ends the process, and what was synced is recovered.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error("metadata store cannot go on", "err", text)
	panic(fatalError{text: text})
}
