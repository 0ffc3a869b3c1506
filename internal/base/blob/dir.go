package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/weir-stream/weir/internal/base/vfs"
)

const (
	// tempDir is the folder of unfinished objects. No key can reach it, since no part of one starts with a dot.
	tempDir = ".tmp"
	// maxKnownDirs bounds the memory for folders known to be durable; past it they are forgotten and synced
	// once more.
	maxKnownDirs = 4096
	// writeBufferBytes gathers small writes of a streamed object.
	writeBufferBytes = 1 << 20
)

// Dir is a Store on a directory. A key is a file below the root. An object is written to a temporary file,
// synced, and then given its name: by link(2), which fails if the name is taken, or by rename(2) to replace;
// at last the folder is synced.
//
// One process owns the root; whoever opens the store holds its lock. Empty folders are left where they are.
type Dir struct {
	fs   vfs.FS
	root string
	temp atomic.Uint64 // numbers temporary files

	mu    sync.Mutex
	known map[string]struct{} // folders, relative to root, whose names are durable up to the root
}

// NewDir opens the store at root, making it if need be, and removes what an earlier process left unfinished.
func NewDir(fsys vfs.FS, root string) (*Dir, error) {
	d := &Dir{fs: fsys, root: filepath.Clean(root), known: make(map[string]struct{})}
	temp := filepath.Join(d.root, tempDir)
	if err := vfs.MakeDirs(fsys, temp); err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	left, err := fsys.List(temp)
	if err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	for _, name := range left {
		if err := fsys.Remove(filepath.Join(temp, name)); err != nil {
			return nil, fmt.Errorf("remove unfinished object: %w", err)
		}
	}
	return d, nil
}

// PutIfAbsent implements Store.
func (d *Dir) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	temp, err := d.writeTemp(body)
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return d.publish(temp, key)
}

// Put implements Store.
func (d *Dir) Put(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	temp, err := d.writeTemp(body)
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	err = d.makeFolder(key)
	if err == nil {
		err = d.fs.Rename(temp, d.file(key))
	}
	if err != nil {
		d.drop(temp)
		return fmt.Errorf("put %s: %w", key, err)
	}
	if err := d.fs.SyncDir(filepath.Dir(d.file(key))); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// Create implements Store.
func (d *Dir) Create(ctx context.Context, key string) (Writer, error) {
	if err := check(ctx, key); err != nil {
		return nil, err
	}
	name := d.tempName()
	f, err := d.fs.Create(name)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", key, err)
	}
	return &dirWriter{dir: d, key: key, temp: name, file: f, buf: vfs.AlignedBuffer(writeBufferBytes)}, nil
}

// Open implements Store.
func (d *Dir) Open(ctx context.Context, key string) (Reader, error) {
	if err := check(ctx, key); err != nil {
		return nil, err
	}
	f, err := d.fs.Open(d.file(key))
	if err != nil {
		if isAbsent(err) {
			return nil, fmt.Errorf("open %s: %w", key, ErrNotFound)
		}
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	info, err := d.fs.Stat(d.file(key))
	if err == nil && info.IsDir() {
		err = ErrNotFound // a folder of objects, not an object
	}
	size := int64(0)
	if err == nil || isAbsent(err) { // deleted since: what is open stays readable
		size, err = f.Size()
	}
	if err != nil {
		_ = f.Close() // opened for reading only
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	return &dirReader{File: f, size: size}, nil
}

// Delete implements Store.
func (d *Dir) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	// A folder is not an object; taking an empty one away would pull it from under makeFolder.
	info, err := d.fs.Stat(d.file(key))
	if isAbsent(err) || err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		err = d.fs.Remove(d.file(key))
	}
	if isAbsent(err) {
		return nil
	}
	if err == nil {
		err = d.fs.SyncDir(filepath.Dir(d.file(key)))
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// isAbsent reports whether err says that there is no object: no such name, a name below an object, a folder.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}

func (d *Dir) file(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

func (d *Dir) tempName() string {
	return filepath.Join(d.root, tempDir, strconv.FormatUint(d.temp.Add(1), 10))
}

// writeTemp returns the name of a new temporary file that durably holds body.
func (d *Dir) writeTemp(body []byte) (string, error) {
	name := d.tempName()
	f, err := d.fs.Create(name)
	if err != nil {
		return "", err
	}
	_, err = f.WriteAt(body, 0)
	if err := d.finishTemp(f, name, err); err != nil {
		return "", err
	}
	return name, nil
}

// finishTemp syncs and closes a temporary file, or drops it if err or one of these steps says so.
func (d *Dir) finishTemp(f vfs.File, name string, err error) error {
	if err == nil {
		err = f.SyncData()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		d.drop(name)
	}
	return err
}

// drop removes a temporary file. Its error is not told: NewDir removes what stays, and the caller has a
// better error, or none.
func (d *Dir) drop(temp string) { _ = d.fs.Remove(temp) }

// publish gives a finished temporary file the name of key, if that is free, and drops the temporary name.
func (d *Dir) publish(temp, key string) error {
	defer d.drop(temp)
	name := d.file(key)
	if err := d.makeFolder(key); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	err := d.fs.Link(temp, name)
	taken := errors.Is(err, fs.ErrExist)
	if err != nil && !taken {
		return fmt.Errorf("put %s: %w", key, err)
	}
	// Also when the name is taken: the caller will act on the other's object, whose maker may not have got
	// as far as this.
	if err := d.fs.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	if taken {
		return fmt.Errorf("put %s: %w", key, ErrExists)
	}
	return nil
}

// makeFolder makes the folder of key durable up to the root. That a folder exists proves nothing: another
// call may have made it and not synced yet. So only folders whose sync this store has seen are passed over.
func (d *Dir) makeFolder(key string) error {
	folder := path.Dir(key)
	if folder == "." || d.isKnown(folder) {
		return nil
	}
	if err := d.fs.MkdirAll(d.file(folder)); err != nil {
		return err
	}
	for f := folder; f != "."; f = path.Dir(f) {
		if err := d.fs.SyncDir(filepath.Dir(d.file(f))); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxKnownDirs {
		clear(d.known)
	}
	d.known[folder] = struct{}{}
	return nil
}

func (d *Dir) isKnown(folder string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.known[folder]
	return ok
}

type dirReader struct {
	vfs.File
	size int64
}

func (r *dirReader) Size() int64 { return r.size }

// dirWriter writes a temporary file and publishes it at the end.
type dirWriter struct {
	dir  *Dir
	key  string
	temp string
	file vfs.File // nil when finished
	buf  []byte   // aligned; the first n bytes wait to be written at off
	n    int
	off  int64
}

func (w *dirWriter) Write(p []byte) (int, error) {
	if w.file == nil {
		return 0, ErrFinished
	}
	written := 0
	for len(p) > 0 {
		n := copy(w.buf[w.n:], p)
		p, w.n, written = p[n:], w.n+n, written+n
		if w.n == len(w.buf) {
			if err := w.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// flush writes what waits: whole buffers past the page cache, since objects are large and not read soon.
func (w *dirWriter) flush() error {
	if _, err := w.file.WriteDirectAt(w.buf[:w.n], w.off); err != nil {
		return err
	}
	w.off, w.n = w.off+int64(w.n), 0
	return nil
}

func (w *dirWriter) Commit(ctx context.Context) error {
	if w.file == nil {
		return ErrFinished
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(err, w.Abort())
	}
	err := w.flush()
	f := w.file
	w.file = nil
	if err := w.dir.finishTemp(f, w.temp, err); err != nil {
		return fmt.Errorf("put %s: %w", w.key, err)
	}
	return w.dir.publish(w.temp, w.key)
}

func (w *dirWriter) Abort() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	w.dir.drop(w.temp)
	return f.Close()
}
