package shard

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// reserveName is a file beside those of the WAL that holds disk space and nothing else.
const reserveName = "reserve"

// reserveMargin is how many times its size must be free before the reserve is taken again.
const reserveMargin = 4

// reserve keeps some disk space from everybody, so that a disk that has filled up can be emptied: what deletes leave
// behind is only freed by a checkpoint, which must be written first. It belongs to recovery and then to maintenance.
type reserve struct{ held bool }

// refill takes the reserve if there is plenty of space. It is an aid: without it nothing else fails.
func (r *reserve) refill(s *Store) {
	if r.held || s.o.Cluster != nil {
		return
	}
	if err := r.take(s); err != nil {
		s.o.Logger.Debug("no reserve of disk space", "err", err)
	}
}

func (r *reserve) take(s *Store) error {
	name := filepath.Join(s.o.WALDir, reserveName)
	if info, err := s.o.FS.Stat(name); err == nil && info.Size() == s.o.ReserveBytes {
		r.held = true
		return nil
	}
	usage, err := s.Free()
	if err != nil {
		return err
	}
	if usage.FreeBytes < reserveMargin*uint64(s.o.ReserveBytes) {
		return fmt.Errorf("%d bytes are free", usage.FreeBytes)
	}
	f, err := s.o.FS.Create(name)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Allocate(0, s.o.ReserveBytes), f.Close()); err != nil {
		return errors.Join(err, s.o.FS.Remove(name))
	}
	r.held = true
	return nil
}

// giveIfLow gives the reserve up when little else is free: then the metadata store refuses transactions, those that delete
// topics too, before any write has failed here.
func (r *reserve) giveIfLow(s *Store) {
	if !r.held {
		return
	}
	if usage, err := s.Free(); err == nil && usage.FreeBytes < uint64(s.o.ReserveBytes)/2 {
		r.give(s)
	}
}

// give gives the reserve up. It reports whether there was one.
func (r *reserve) give(s *Store) bool {
	if !r.held {
		return false
	}
	r.held = false
	if err := s.o.FS.Remove(filepath.Join(s.o.WALDir, reserveName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Logger.Warn("reserve of disk space could not be given up", "err", err)
		return false
	}
	s.o.Logger.Warn("reserve of disk space was given up, to free what is not needed any more")
	return true
}
