package record

import "bytes"

// Expand decompresses bytes that are no batch, such as a client's metrics. The result is a copy. More than limit bytes is
// ErrTooLarge; what the codec cannot have made is an error too.
func Expand(codec Codec, src []byte, limit int) ([]byte, error) {
	if codec == None {
		if len(src) > limit {
			return nil, ErrTooLarge
		}
		return bytes.Clone(src), nil
	}
	return decompress(codec, nil, src, limit)
}
