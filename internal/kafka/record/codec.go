package record

import "fmt"

// Codec is the compression of a batch's records, with Kafka's numbers.
type Codec int8

// The codecs of format 2. Numbers 5 to 7 can stand in a header but mean nothing.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Valid tells whether c is one of the five codecs.
func (c Codec) Valid() bool { return c >= None && c <= Zstd }

// String returns Kafka's name: "none", "gzip", "snappy", "lz4" or "zstd".
func (c Codec) String() string {
	if !c.Valid() {
		return fmt.Sprintf("codec-%d", int8(c))
	}
	return codecNames[c]
}

// ParseCodec reads what String writes, and "uncompressed", which the setting compression.type says for "none".
func ParseCodec(name string) (Codec, error) {
	if name == "uncompressed" {
		return None, nil
	}
	for i, n := range codecNames {
		if n == name {
			return Codec(i), nil
		}
	}
	return None, fmt.Errorf("unknown compression codec %q: want none, gzip, snappy, lz4 or zstd", name)
}

// DefaultLevel asks for the codec's usual level. Other levels follow Kafka's settings compression.gzip.level (1 to 9,
// -1 default), compression.lz4.level (1 to 17, 9 default) and compression.zstd.level (-131072 to 22, 3 default); a level
// out of range is moved to the nearest one.
const DefaultLevel = 0
