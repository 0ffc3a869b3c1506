//go:build !linux

package vfs

import (
	"os"
	"runtime"
)

// This file is the plain way for development on other systems: correct, not fast.

func directFile(*osFile) *os.File { return nil }

func (f *osFile) Allocate(off, length int64) error { return f.writeZeros(off, length) }

func (f *osFile) SyncData() error { return f.Sync() }

func syncDir(d *os.File) error {
	if runtime.GOOS == "windows" {
		return nil // NTFS journals names itself, and a directory handle cannot be flushed
	}
	return d.Sync()
}

func isQuota(error) bool { return false }
