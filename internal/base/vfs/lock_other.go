//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package vfs

import (
	"errors"
	"os"
)

// lockFile refuses: two servers on one folder must never be possible by accident.
func lockFile(*os.File) error { return errors.ErrUnsupported }
