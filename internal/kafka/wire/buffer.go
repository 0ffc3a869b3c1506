package wire

import (
	"math/bits"
	"sync"
)

// Buffers come in sizes of powers of two from 4 KiB to 8 MiB. Larger ones are made to measure and left to the collector.
const (
	minClassBits = 12
	maxClassBits = 23
)

var bufferClasses [maxClassBits - minClassBits + 1]sync.Pool

// buffer is a pooled stretch of memory. b keeps its full capacity; its length is up to the user.
type buffer struct{ b []byte }

// getBuffer returns a buffer of length 0 with room for at least n bytes.
func getBuffer(n int) *buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), minClassBits)
	if class > maxClassBits {
		return &buffer{b: make([]byte, 0, n)}
	}
	if buf, ok := bufferClasses[class-minClassBits].Get().(*buffer); ok {
		buf.b = buf.b[:0]
		return buf
	}
	return &buffer{b: make([]byte, 0, 1<<class)}
}

// put gives the buffer back. Its memory may have been replaced by a larger one; what fits no class exactly is dropped.
func (buf *buffer) put() {
	size := cap(buf.b)
	if size&(size-1) != 0 {
		return
	}
	if class := bits.Len(uint(size)) - 1; class >= minClassBits && class <= maxClassBits {
		bufferClasses[class-minClassBits].Put(buf)
	}
}
