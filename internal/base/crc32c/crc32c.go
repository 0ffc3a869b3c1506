// Package crc32c computes CRC-32C checksums, and that of a concatenation from those of its parts: who knows the checksums of the pieces
// that a frame or a body is made of need not go over the bytes again.
//
// A CRC is the remainder of a polynomial over GF(2). To append n bytes to A multiplies A's by x^8n, so
//
//	crc(A B) = crc(A) · x^(8·len B) + crc(B)    modulo the polynomial of CRC-32C
//
// and the powers of x for each byte of a length are in a table. A Join takes about 40 ns for each byte that the length has, a Sum
// as long for some hundred bytes.
//
// All functions may be called from any goroutine.
package crc32c

import "hash/crc32"

// Size is the length of a checksum in bytes.
const Size = crc32.Size

// polynomial is that of Castagnoli, lowest power first: the highest bit is the coefficient of x^0.
const polynomial = crc32.Castagnoli

// one is the polynomial 1.
const one = 1 << 31

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is the CRC-32C of p.
func Sum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// Update is the CRC-32C of what has the CRC-32C crc, followed by p.
func Update(crc uint32, p []byte) uint32 { return crc32.Update(crc, castagnoli, p) }

// Join is the CRC-32C of what has the CRC-32C a, followed by n bytes that have the CRC-32C b. n is from 0 to 2^32 - 1.
func Join(a, b uint32, n int64) uint32 {
	for level := 0; n != 0; level, n = level+1, n>>8 {
		if low := n & 0xff; low != 0 {
			a = multiply(powers[level][low], a)
		}
	}
	return a ^ b
}

// levels is how many bytes a length has.
const levels = 4

// powers holds x^(8·k·256^level).
var powers = func() (t [levels][256]uint32) {
	step := uint32(one)
	for range 8 {
		step = timesX(step)
	}
	for level := range levels {
		t[level][0] = one
		for k := 1; k < 256; k++ {
			t[level][k] = multiply(t[level][k-1], step)
		}
		step = multiply(t[level][255], step)
	}
	return t
}()

func timesX(a uint32) uint32 { return a>>1 ^ polynomial&-(a&1) }

// multiply is the product of a and b.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		product ^= b & uint32(int32(a)>>31)
		b = timesX(b)
	}
	return product
}
