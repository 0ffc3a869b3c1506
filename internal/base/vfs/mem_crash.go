package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// CrashClone returns the disk as it may be found after the power failed now. The Mem itself goes on as if
// nothing had happened.
//
// What was synced is there. Of bytes written since, every page of 4 KiB may be in any state it had, the last
// or an earlier one, and one in four is torn: each sector of 512 bytes for itself. The length may be any that
// the file had. A cut of a file is there whole or not at all. Names that were not made durable by SyncDir are
// not there, and those that were taken away without it are back.
func (m *Mem) CrashClone(rng *rand.Rand) *Mem { return m.crash(rng, false) }

// CrashCloneKeepingNames is CrashClone on a disk that may have been quicker than it had to: of the unsynced
// changes of names in each directory, the first few, maybe all, are there too.
func (m *Mem) CrashCloneKeepingNames(rng *rand.Rand) *Mem { return m.crash(rng, true) }

func (m *Mem) crash(rng *rand.Rand, keepNames bool) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.space.mu.Lock()
	total := m.space.total
	m.space.mu.Unlock()
	c := NewMem()
	c.space = &space{free: total, total: total}
	cr := crasher{rng: rng, keepNames: keepNames, space: c.space, files: make(map[*memFile]*memFile)}
	c.root = cr.dir(m.root)
	return c
}

// crasher copies a tree. It visits names in order, so that one seed gives one outcome.
type crasher struct {
	rng       *rand.Rand
	keepNames bool
	space     *space
	files     map[*memFile]*memFile // so that two names of one file stay that
}

func (c *crasher) dir(d *memDir) *memDir {
	names := maps.Clone(d.synced)
	if c.keepNames {
		for _, change := range d.unsynced[:c.rng.IntN(len(d.unsynced)+1)] {
			applyNames(names, change)
		}
	}
	clone := newMemDir()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch node := names[name].(type) {
		case *memDir:
			clone.now[name] = c.dir(node)
		case *memFile:
			f, ok := c.files[node]
			if !ok {
				f = c.file(node)
				c.files[node] = f
			}
			f.links++
			clone.now[name] = f
		}
	}
	clone.synced = maps.Clone(clone.now)
	return clone
}

func (c *crasher) file(f *memFile) *memFile {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := &f.state
	if era := c.rng.IntN(len(f.eras) + 1); era < len(f.eras) {
		s = &f.eras[era]
	}
	clone := newMemFile(c.space)
	clone.modified = time.Time{}
	size := s.sizes[c.rng.IntN(len(s.sizes))]
	clone.state.sizes = []int64{size}
	for i := range s.pages {
		if int64(i)*pageBytes >= size {
			break
		}
		page := c.page(s.pages[i].versions)
		if page != nil && int64(i+1)*pageBytes > size {
			cut := new([pageBytes]byte)
			copy(cut[:size%pageBytes], page[:])
			page = cut
		}
		p := filePage{taken: s.pages[i].taken}
		if page != nil {
			p.versions = []*[pageBytes]byte{page}
		}
		if p.taken {
			clone.state.taken += pageBytes
		}
		clone.state.pages = append(clone.state.pages, p)
	}
	c.space.free -= clone.state.taken
	return clone
}

// page chooses what is left of a page.
func (c *crasher) page(versions []*[pageBytes]byte) *[pageBytes]byte {
	if len(versions) < 2 {
		if len(versions) == 0 {
			return nil
		}
		return versions[0]
	}
	if c.rng.IntN(4) > 0 {
		return versions[c.rng.IntN(len(versions))]
	}
	torn := new([pageBytes]byte)
	for at := 0; at < pageBytes; at += sectorBytes {
		if v := versions[c.rng.IntN(len(versions))]; v != nil {
			copy(torn[at:at+sectorBytes], v[at:])
		}
	}
	return torn
}
