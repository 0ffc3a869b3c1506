package vfs

import (
	"fmt"
	"io"
	"unsafe"
)

// DirectAlign is what addresses, lengths and offsets of direct reads and writes are multiples of.
const DirectAlign = 4 << 10

// AlignedBuffer returns n bytes whose address is a multiple of DirectAlign.
func AlignedBuffer(n int) []byte {
	b := make([]byte, n+DirectAlign)
	skip := DirectAlign - int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))%DirectAlign)
	if skip == DirectAlign {
		skip = 0
	}
	return b[skip : skip+n : skip+n]
}

// RangeBytes is the size of the buffer that a ReadRange of n bytes needs, wherever they begin.
func RangeBytes(n int) int { return (n+DirectAlign-1)/DirectAlign*DirectAlign + DirectAlign }

// isAligned reports whether p at off may be read or written directly.
func isAligned(p []byte, off int64) bool {
	return len(p)%DirectAlign == 0 && off%DirectAlign == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%DirectAlign == 0
}

// readRange is ReadRange by ordinary reads.
func readRange(r io.ReaderAt, buf []byte, off int64, n int) ([]byte, error) {
	got, err := r.ReadAt(buf[:n], off)
	if got < n {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %d bytes at %d: %w", n, off, err)
	}
	return buf[:n], nil
}
