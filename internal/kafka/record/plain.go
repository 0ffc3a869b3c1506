package record

// plainIsValid reports whether records are count well-formed records without headers, with offset deltas from 0 on. False means
// that the slow way has to look, and to say what is wrong. It is what every produced batch without compression goes through, so
// it walks by index and keeps nothing.
func plainIsValid(records []byte, count int32) bool {
	at := 0
	for i := range count {
		length, n := varint(records[at:])
		at += n
		if n == 0 || length < 0 || length > int64(len(records)-at) {
			return false
		}
		if !plainRecordIsValid(records[at:at+int(length)], i) {
			return false
		}
		at += int(length)
	}
	return at == len(records)
}

func plainRecordIsValid(r []byte, offsetDelta int32) bool {
	if len(r) == 0 {
		return false
	}
	at := 1 // attributes
	_, n := varint(r[at:])
	if n == 0 {
		return false
	}
	at += n
	delta, n := varint(r[at:])
	if n == 0 || delta != int64(offsetDelta) {
		return false
	}
	at += n
	for range 2 { // key and value
		length, n := varint(r[at:])
		if n == 0 || length < -1 || length > int64(len(r)-at-n) {
			return false
		}
		at += n + int(max(length, 0))
	}
	return at == len(r)-1 && r[at] == 0 // no headers
}

// varint reads a zig-zag number and the bytes that it takes, 0 if it is malformed.
func varint(b []byte) (v int64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return int64(b[0]>>1) ^ -int64(b[0]&1), 1
	}
	if len(b) > 1 && b[1] < 0x80 {
		u := uint64(b[0]&0x7f) | uint64(b[1])<<7
		return int64(u>>1) ^ -int64(u&1), 2
	}
	var u uint64
	for i := range min(len(b), 9) {
		u |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0 // longer ones are legal, and left to the slow way
}
