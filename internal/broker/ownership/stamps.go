package ownership

import (
	"fmt"
	"strconv"
	"strings"
)

// Stamps are keys in the object store that say how far the metadata store once was (docs/format/stamps.md). The newest of a kind stays for ever, so
// that metadata which is older than the objects is noticed before anything is served by it, and so that the bucket alone tells who wrote what.
const (
	// BirthPrefix: an incarnation was given out. BirthPrefix + 16 hexadecimal digits.
	BirthPrefix = "o/i/"
	// ClaimPrefix: a shard was taken in an epoch. ClaimPrefix + shard, 5 decimal digits + "/" + epoch, 8 hexadecimal digits. The body is the Pointer.
	ClaimPrefix = "o/s/"
	// TrimPrefix: frames of an incarnation below a sequence number may be gone. TrimPrefix + 16 hexadecimal digits + "/" + 16 hexadecimal digits.
	TrimPrefix = "o/t/"
)

// BirthKey is the stamp of an incarnation.
func BirthKey(incarnation uint64) string { return fmt.Sprintf("%s%016x", BirthPrefix, incarnation) }

// ClaimsOf is what the claims of a shard begin with.
func ClaimsOf(shard int32) string { return fmt.Sprintf("%s%05d/", ClaimPrefix, shard) }

// ClaimKey is the stamp of a shard's epoch.
func ClaimKey(shard, epoch int32) string { return fmt.Sprintf("%s%08x", ClaimsOf(shard), epoch) }

// TrimsOf is what the trims of an incarnation begin with.
func TrimsOf(incarnation uint64) string { return fmt.Sprintf("%s%016x/", TrimPrefix, incarnation) }

// TrimKey is the stamp of a trim.
func TrimKey(incarnation, seq uint64) string {
	return fmt.Sprintf("%s%016x", TrimsOf(incarnation), seq)
}

// ParseStamp reads the number at the end of a stamp's key: incarnation, epoch or sequence number.
func ParseStamp(key string) (uint64, bool) {
	n, err := strconv.ParseUint(key[strings.LastIndexByte(key, '/')+1:], 16, 64)
	return n, err == nil
}

// ParseClaim reads the key of a claim.
func ParseClaim(key string) (shard, epoch int32, ok bool) {
	s, e, found := strings.Cut(strings.TrimPrefix(key, ClaimPrefix), "/")
	id, err1 := strconv.ParseUint(s, 10, 31)
	n, err2 := strconv.ParseUint(e, 16, 31)
	return int32(id), int32(n), found && err1 == nil && err2 == nil && strings.HasPrefix(key, ClaimPrefix)
}
