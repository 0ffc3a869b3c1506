package wal

import "encoding/binary"

// putChecksum makes the checksum field at off right for the bytes before it.
func putChecksum(b []byte, off int) { binary.LittleEndian.PutUint32(b[off:], checksum(b[:off])) }

// repairDirectory makes the checksums of the sections right, as far as the entries lie within the footer.
func repairDirectory(footer []byte, shards int) {
	for i := range shards {
		entry := footer[i*dirEntryBytes:]
		off, n := int64(binary.LittleEndian.Uint32(entry[4:])), int64(binary.LittleEndian.Uint32(entry[8:]))
		if off+n <= int64(len(footer)) {
			binary.LittleEndian.PutUint32(entry[12:], checksum(footer[off:off+n]))
		}
	}
}
