package coordinator

import (
	"math"
	"unicode/utf16"
)

// PartitionOf returns the partition of __consumer_offsets that keeps a group: the absolute value of Java's
// String.hashCode, which goes over UTF-16 units, modulo the number of partitions. Tools that read the topic rely on it.
func PartitionOf(group string, partitions int32) int32 {
	var hash int32
	for _, r := range group {
		if high, low := utf16.EncodeRune(r); high != '\uFFFD' {
			hash = 31*(31*hash+high) + low
			continue
		}
		hash = 31*hash + r
	}
	if hash == math.MinInt32 {
		// It has no absolute value in 32 bits; Kafka takes 0.
		return 0
	}
	return max(hash, -hash) % partitions
}
