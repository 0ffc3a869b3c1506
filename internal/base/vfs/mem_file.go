package vfs

import (
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// pageBytes is the unit in which a Mem gives out space and loses writes.
	pageBytes = 4 << 10
	// sectorBytes is what a disk writes whole.
	sectorBytes = 512
	// maxVersions bounds what is remembered of unsynced states, of a page and of a length. What is forgotten is
	// neither the first, which is synced, nor the last.
	maxVersions = 5
	// maxEras bounds the unsynced cuts of a file that are remembered.
	maxEras = 4
)

// memFile is the contents of a file.
type memFile struct {
	space *space

	mu       sync.RWMutex
	links    int // names
	handles  int // open files
	state    fileState
	modified time.Time
	// eras are the states before each unsynced cut of the file: in a crash a cut has happened or not, and
	// nothing after it has if it has not.
	eras []fileState
}

// fileState is what a file holds, together with what it held since the last sync.
type fileState struct {
	sizes []int64    // the synced one first, the present one last
	pages []filePage // may be shorter than the size: the rest is a hole
	taken int64      // bytes of blocks
}

// filePage is 4 KiB of a file: the synced version first, the present one last. Nil is zeros. A version is never
// changed once there is a later one, nor if it is the only one.
type filePage struct {
	versions []*[pageBytes]byte
	taken    bool // has a block
}

func newMemFile(s *space) *memFile {
	return &memFile{space: s, state: fileState{sizes: []int64{0}}, modified: time.Now()}
}

func (f *memFile) size() int64 { return f.state.sizes[len(f.state.sizes)-1] }

func (f *memFile) info(name string) fs.FileInfo {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return memInfo{name: name, size: f.size(), modified: f.modified}
}

func (f *memFile) handle(name string, write bool) *memHandle {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handles++
	return &memHandle{file: f, name: name, write: write}
}

func (f *memFile) addLinks(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links += n
	f.giveUnused()
}

// giveUnused frees the blocks of a file that nobody can reach any more. The caller holds mu.
func (f *memFile) giveUnused() {
	if f.links == 0 && f.handles == 0 {
		f.space.give(f.state.taken)
		f.state.taken = 0
	}
}

// present returns the last version of page i.
func (s *fileState) present(i int64) *[pageBytes]byte {
	if i >= int64(len(s.pages)) {
		return nil
	}
	if v := s.pages[i].versions; len(v) > 0 {
		return v[len(v)-1]
	}
	return nil
}

// remember appends a version and forgets one in the middle if there are too many.
func remember[T any](versions []T, v T) []T {
	if len(versions) >= maxVersions {
		versions = slices.Delete(versions, 1, 2)
	}
	return append(versions, v)
}

// takePage makes page i exist and have a block. The caller holds mu.
func (f *memFile) takePage(i int64) (*filePage, bool) {
	s := &f.state
	for int64(len(s.pages)) <= i {
		s.pages = append(s.pages, filePage{})
	}
	p := &s.pages[i]
	if !p.taken {
		if !f.space.take(pageBytes) {
			return nil, false
		}
		p.taken = true
		s.taken += pageBytes
	}
	return p, true
}

// write implements WriteAt. The caller holds mu.
func (f *memFile) write(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		at := off + int64(n)
		p, ok := f.takePage(at / pageBytes)
		if !ok {
			return n, syscall.ENOSPC
		}
		page := new([pageBytes]byte)
		if len(p.versions) == 0 {
			p.versions = []*[pageBytes]byte{nil}
		} else if last := p.versions[len(p.versions)-1]; last != nil {
			*page = *last
		}
		n += copy(page[at%pageBytes:], b[n:])
		p.versions = remember(p.versions, page)
		if end := off + int64(n); end > f.size() {
			f.state.sizes = remember(f.state.sizes, end)
		}
	}
	f.modified = time.Now()
	return n, nil
}

// cut shortens the file. The caller holds mu.
func (f *memFile) cut(size int64) {
	if len(f.eras) >= maxEras {
		f.eras = slices.Delete(f.eras, 1, 2)
	}
	f.eras = append(f.eras, f.state.clone())
	s := &f.state
	s.sizes = []int64{size}
	whole := (size + pageBytes - 1) / pageBytes
	for i := whole; i < int64(len(s.pages)); i++ {
		if s.pages[i].taken {
			f.space.give(pageBytes)
			s.taken -= pageBytes
		}
	}
	s.pages = s.pages[:min(whole, int64(len(s.pages)))]
	rest := size % pageBytes
	if rest == 0 || whole > int64(len(s.pages)) {
		return
	}
	// What lies behind the end of the last page must read as zeros if the file grows again.
	last := &s.pages[whole-1]
	for i, v := range last.versions {
		if v != nil {
			page := new([pageBytes]byte)
			copy(page[:rest], v[:rest])
			last.versions[i] = page
		}
	}
}

// clone copies the state; the versions themselves are shared, since they never change.
func (s *fileState) clone() fileState {
	c := fileState{sizes: slices.Clone(s.sizes), pages: slices.Clone(s.pages), taken: s.taken}
	for i := range c.pages {
		c.pages[i].versions = slices.Clone(c.pages[i].versions)
	}
	return c
}

// sync forgets the past.
func (f *memFile) sync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.state
	f.eras = nil
	s.sizes = []int64{f.size()}
	for i := range s.pages {
		if p := &s.pages[i]; len(p.versions) > 1 {
			p.versions = []*[pageBytes]byte{p.versions[len(p.versions)-1]}
		}
	}
}

// memHandle is an open file.
type memHandle struct {
	file   *memFile
	name   string
	write  bool
	closed atomic.Bool
}

func (h *memHandle) check(op string, write bool) error {
	switch {
	case h.closed.Load():
		return pathError(op, h.name, os.ErrClosed)
	case write && !h.write:
		return pathError(op, h.name, syscall.EBADF)
	}
	return nil
}

func (h *memHandle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.check("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", h.name, fs.ErrInvalid)
	}
	f := h.file
	f.mu.RLock()
	defer f.mu.RUnlock()
	want := len(p)
	p = p[:max(0, min(int64(want), f.size()-off))]
	for n := 0; n < len(p); {
		at := off + int64(n)
		part := p[n:min(len(p), n+int(pageBytes-at%pageBytes))]
		if page := f.state.present(at / pageBytes); page != nil {
			copy(part, page[at%pageBytes:])
		} else {
			clear(part)
		}
		n += len(part)
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return want, nil
}

func (h *memHandle) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	return readRange(h, buf, off, n)
}

func (h *memHandle) WriteDirectAt(p []byte, off int64) (int, error) { return h.WriteAt(p, off) }

func (h *memHandle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.check("write", true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("write", h.name, fs.ErrInvalid)
	}
	h.file.mu.Lock()
	defer h.file.mu.Unlock()
	n, err := h.file.write(p, off)
	if err != nil {
		return n, pathError("write", h.name, err)
	}
	return n, nil
}

func (h *memHandle) Size() (int64, error) {
	if err := h.check("stat", false); err != nil {
		return 0, err
	}
	h.file.mu.RLock()
	defer h.file.mu.RUnlock()
	return h.file.size(), nil
}

func (h *memHandle) Truncate(size int64) error {
	if err := h.check("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", h.name, fs.ErrInvalid)
	}
	f := h.file
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case size > f.size():
		f.state.sizes = remember(f.state.sizes, size)
	case size < f.size():
		f.cut(size)
	}
	f.modified = time.Now()
	return nil
}

func (h *memHandle) Allocate(off, length int64) error {
	if err := h.check("allocate", true); err != nil {
		return err
	}
	if off < 0 || length <= 0 {
		return pathError("allocate", h.name, fs.ErrInvalid)
	}
	f := h.file
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := off / pageBytes; i*pageBytes < off+length; i++ {
		if _, ok := f.takePage(i); !ok {
			return pathError("allocate", h.name, syscall.ENOSPC)
		}
	}
	if off+length > f.size() {
		f.state.sizes = remember(f.state.sizes, off+length)
	}
	return nil
}

func (h *memHandle) SyncData() error { return h.Sync() }

// Renew does nothing: memory keeps bytes in the clear.
func (h *memHandle) Renew() error { return nil }

// Sync implements File.
func (h *memHandle) Sync() error {
	if err := h.check("sync", false); err != nil {
		return err
	}
	h.file.sync()
	return nil
}

func (h *memHandle) Close() error {
	if h.closed.Swap(true) {
		return pathError("close", h.name, os.ErrClosed)
	}
	h.file.mu.Lock()
	defer h.file.mu.Unlock()
	h.file.handles--
	h.file.giveUnused()
	return nil
}
