package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// defaultMemBytes is the size of a Mem's disk until SetFreeBytes.
const defaultMemBytes = 1 << 40

// errNotEmpty is what removing a directory with names in it gives.
var errNotEmpty = syscall.ENOTEMPTY

// Mem is a file system in memory that can crash. It never syncs by itself, so what a program forgot to sync
// is gone in [Mem.CrashClone].
//
// Relative names and names from the root are the same place. Memory is used for what was written, twice for
// what was not synced since, and not for holes or for what is only allocated.
//
// Lock order: Mem.mu, then memFile.mu, then space.mu.
type Mem struct {
	space *space

	mu    sync.RWMutex
	root  *memDir
	locks map[string]struct{}
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{
		space: &space{free: defaultMemBytes, total: defaultMemBytes},
		root:  newMemDir(), locks: make(map[string]struct{}),
	}
}

// SetFreeBytes sets how many more bytes fit; what is removed from now on comes on top of that.
func (m *Mem) SetFreeBytes(n int64) {
	m.space.mu.Lock()
	defer m.space.mu.Unlock()
	m.space.total += n - m.space.free
	m.space.free = n
}

// space counts blocks, in bytes.
type space struct {
	mu          sync.Mutex
	free, total int64
}

// take takes n bytes if there are that many.
func (s *space) take(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.free {
		return false
	}
	s.free -= n
	return true
}

func (s *space) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
}

// memNode is a *memDir or a *memFile.
type memNode interface{ info(name string) fs.FileInfo }

// memDir is a directory: its names now, and those that a crash leaves. Guarded by Mem.mu.
type memDir struct {
	now    map[string]memNode
	synced map[string]memNode
	// unsynced are the changes since the last sync, in order; each is atomic in a crash.
	unsynced []map[string]memNode // nil node: the name is gone
}

func newMemDir() *memDir {
	return &memDir{now: make(map[string]memNode), synced: make(map[string]memNode)}
}

func (d *memDir) change(names map[string]memNode) {
	d.unsynced = append(d.unsynced, names)
	applyNames(d.now, names)
}

func applyNames(to, names map[string]memNode) {
	for name, node := range names {
		if node == nil {
			delete(to, name)
		} else {
			to[name] = node
		}
	}
}

func (d *memDir) info(name string) fs.FileInfo { return memInfo{name: name, dir: true} }

type memInfo struct {
	name     string
	size     int64
	modified time.Time
	dir      bool
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return i.modified }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | dirPermissions
	}
	return filePermissions
}

// split returns the parts of a name.
func split(name string) []string {
	clean := path.Clean("/" + filepath.ToSlash(name))
	if clean == "/" {
		return nil
	}
	return strings.Split(clean[1:], "/")
}

// dir returns the directory of parts. The caller holds mu.
func (m *Mem) dir(parts []string) (*memDir, error) {
	d := m.root
	for _, part := range parts {
		node, ok := d.now[part]
		if !ok {
			return nil, fs.ErrNotExist
		}
		if d, ok = node.(*memDir); !ok {
			return nil, syscall.ENOTDIR
		}
	}
	return d, nil
}

// parent returns the directory of name and its last part. The caller holds mu.
func (m *Mem) parent(name string) (*memDir, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", fs.ErrInvalid
	}
	last := len(parts) - 1
	d, err := m.dir(parts[:last])
	return d, parts[last], err
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Open implements FS. A directory does not open.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenReadWrite implements FS.
func (m *Mem) OpenReadWrite(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, write bool) (File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	d, base, err := m.parent(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	switch node := d.now[base].(type) {
	case nil:
		return nil, pathError("open", name, fs.ErrNotExist)
	case *memFile:
		return node.handle(name, write), nil
	default:
		return nil, pathError("open", name, syscall.EISDIR)
	}
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.parent(name)
	if err != nil {
		return nil, pathError("create", name, err)
	}
	f, ok := d.now[base].(*memFile)
	switch {
	case ok:
		h := f.handle(name, true)
		return h, h.Truncate(0)
	case d.now[base] != nil:
		return nil, pathError("create", name, syscall.EISDIR)
	}
	f = newMemFile(m.space)
	f.links = 1
	d.change(map[string]memNode{base: f})
	return f.handle(name, true), nil
}

// Link implements FS.
func (m *Mem) Link(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, fromBase, err := m.parent(oldName)
	if err != nil {
		return pathError("link", oldName, err)
	}
	to, toBase, err := m.parent(newName)
	if err != nil {
		return pathError("link", newName, err)
	}
	f, ok := from.now[fromBase].(*memFile)
	switch {
	case from.now[fromBase] == nil:
		return pathError("link", oldName, fs.ErrNotExist)
	case !ok:
		return pathError("link", oldName, fs.ErrPermission)
	case to.now[toBase] != nil:
		return pathError("link", newName, fs.ErrExist)
	}
	f.addLinks(1)
	to.change(map[string]memNode{toBase: f})
	return nil
}

// Rename implements FS. Between two directories a crash may leave both names or none, as where they are
// synced one after the other.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, fromBase, err := m.parent(oldName)
	if err != nil {
		return pathError("rename", oldName, err)
	}
	to, toBase, err := m.parent(newName)
	if err != nil {
		return pathError("rename", newName, err)
	}
	node, old := from.now[fromBase], to.now[toBase]
	_, dir := node.(*memDir)
	oldFile, oldIsFile := old.(*memFile)
	switch {
	case node == nil:
		return pathError("rename", oldName, fs.ErrNotExist)
	case node == old:
		return nil // two names of one file: nothing happens, as in POSIX
	case old != nil && (dir || !oldIsFile):
		return pathError("rename", newName, fs.ErrExist)
	}
	if oldIsFile {
		oldFile.addLinks(-1)
	}
	if from == to {
		from.change(map[string]memNode{fromBase: nil, toBase: node})
		return nil
	}
	to.change(map[string]memNode{toBase: node})
	from.change(map[string]memNode{fromBase: nil})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.parent(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	switch node := d.now[base].(type) {
	case nil:
		return pathError("remove", name, fs.ErrNotExist)
	case *memDir:
		if len(node.now) > 0 {
			return pathError("remove", name, errNotEmpty)
		}
	case *memFile:
		node.addLinks(-1)
	}
	d.change(map[string]memNode{base: nil})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.root
	for _, part := range split(dir) {
		switch node := d.now[part].(type) {
		case nil:
			next := newMemDir()
			d.change(map[string]memNode{part: next})
			d = next
		case *memDir:
			d = node
		default:
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
	}
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	d, err := m.dir(split(dir))
	if err != nil {
		return nil, pathError("list", dir, err)
	}
	return slices.Sorted(maps.Keys(d.now)), nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	d, base, err := m.parent(name)
	if errors.Is(err, fs.ErrInvalid) {
		return m.root.info("/"), nil
	}
	if err == nil && d.now[base] == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return d.now[base].info(base), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dir(split(dir))
	if err != nil {
		return pathError("sync directory", dir, err)
	}
	for _, names := range d.unsynced {
		applyNames(d.synced, names)
	}
	d.unsynced = nil
	return nil
}

// Lock implements FS. The clone of a crash holds no locks.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.parent(name)
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	key := strings.Join(split(name), "/")
	if _, held := m.locks[key]; held {
		return nil, pathError("lock", name, ErrLocked)
	}
	if d.now[base] == nil {
		f := newMemFile(m.space)
		f.links = 1
		d.change(map[string]memNode{base: f})
	}
	m.locks[key] = struct{}{}
	return &memLock{mem: m, key: key}, nil
}

type memLock struct {
	mem *Mem
	key string
}

func (l *memLock) Close() error {
	l.mem.mu.Lock()
	defer l.mem.mu.Unlock()
	if l.key == "" {
		return os.ErrClosed
	}
	delete(l.mem.locks, l.key)
	l.key = ""
	return nil
}

// Usage implements FS.
func (m *Mem) Usage(string) (Usage, error) {
	m.space.mu.Lock()
	defer m.space.mu.Unlock()
	return Usage{FreeBytes: uint64(max(m.space.free, 0)), TotalBytes: uint64(max(m.space.total, 0))}, nil
}
