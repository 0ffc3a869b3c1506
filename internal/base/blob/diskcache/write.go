package diskcache

import (
	"hash/crc32"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// write keeps blocks until the store is closed.
func (s *Store) write() {
	for n := 0; ; n++ {
		select {
		case <-s.done:
			return
		case f := <-s.queue:
			if f.flushed != nil {
				close(f.flushed)
				continue
			}
			if n%lookEvery == 0 {
				s.shedIfLow()
			}
			s.writeBlock(f)
			s.buffers.Put(f.buf)
		}
	}
}

// writeBlock writes a block to a free place and shows it.
func (s *Store) writeBlock(f *fill) {
	file, place, ok := s.place(f.id)
	if !ok {
		return
	}
	whole := (*f.buf)[:BlockBytes]
	clear(whole[f.bytes:])
	crc := crc32.Checksum(whole[:f.bytes], castagnoli)
	if _, err := file.WriteDirectAt(whole, place*BlockBytes); err != nil {
		if !vfs.IsNoSpace(err) {
			s.fail(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.file != nil {
			s.free = append(s.free, place)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return
	}
	s.failures = 0
	if s.index[f.id] != nil {
		s.free = append(s.free, place)
		return
	}
	sl := &slot{id: f.id, place: place, bytes: f.bytes, crc: crc}
	s.index[f.id] = sl
	sl.item = s.recent.PushFront(sl)
	s.metrics.bytes.Add(BlockBytes)
}

// place finds room for a block: a free place, a new one at the end of the file, or that of the block that was not used for longest.
func (s *Store) place(id blockID) (file vfs.File, place int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil || s.index[id] != nil {
		return nil, 0, false
	}
	if len(s.free) == 0 && s.places < int64(s.max) && s.roomLocked() {
		s.places++
		return s.file, s.places - 1, true
	}
	for e := s.recent.Back(); e != nil && len(s.free) == 0; {
		sl := e.Value.(*slot)
		e = e.Prev()
		if sl.users == 0 {
			s.forgetLocked(sl)
		}
	}
	n := len(s.free)
	if n == 0 {
		return nil, 0, false
	}
	place, s.free = s.free[n-1], s.free[:n-1]
	return s.file, place, true
}

// roomLocked reports whether the disk has room for one block more. Asking costs a system call and no I/O.
func (s *Store) roomLocked() bool {
	usage, err := s.o.FS.Usage(s.o.Dir)
	return err != nil || usage.FreeBytes >= uint64(s.o.MinFreeBytes)+BlockBytes
}

// shedIfLow gives the disk back what the cache has when others need it. Blocks that are being read keep their places, and the file its
// length up to them.
func (s *Store) shedIfLow() {
	usage, err := s.o.FS.Usage(s.o.Dir)
	if err != nil || usage.FreeBytes >= uint64(s.o.MinFreeBytes)/2 {
		return
	}
	s.mu.Lock()
	for _, sl := range s.index {
		if sl.users == 0 {
			s.forgetLocked(sl)
		}
	}
	busy := len(s.index) > 0 || int64(len(s.free)) < s.places
	file := s.file
	if !busy {
		s.free, s.places = nil, 0
	}
	s.mu.Unlock()
	if file == nil || busy {
		return
	}
	if err := file.Truncate(0); err != nil { // only this goroutine gives places away
		s.fail(err)
	}
}
