//go:build !(linux || darwin)

package vfs

import "errors"

func diskUsage(string) (Usage, error) { return Usage{}, errors.ErrUnsupported }
