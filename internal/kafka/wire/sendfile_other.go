//go:build !linux

package wire

import "io"

func writeFile(w io.Writer, p Part) (int64, error) { return copyFile(w, p) }
