package peer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batchSpec is what a scene says of a batch, batch{...}.
type batchSpec struct {
	Values  []*string // one record each, or null
	Keys    []*string // beside the values; null where absent
	Headers []string  // name=value, on every record
	Time    int64     // of the first record, in ms since 1970
	Step    int64     // from record to record, in ms
	Codec   string    // none, gzip, snappy, lz4, zstd
	Pid     int64
	Epoch   int16
	Seq     int32
	Magic   int8
	Control bool
	Txn     bool
	BadCRC  bool  // the checksum is off by one
	Count   int32 // a false number of records, if not 0
	Last    int32 // a false last offset delta, if not 0
	Length  int32 // added to the length of the batch
	Attrs   int16 // further attribute bits
	Base    int64 // base offset
	MaxTime int64 // a false greatest timestamp, if not 0
	FirstAt int32 // offset delta of the first record
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batchHead is the length of a batch up to its records, in bytes.
const batchHead = 61

func (e *env) buildBatch(obj object) ([]byte, error) {
	spec := batchSpec{Time: e.now - 10000, Step: 1, Pid: -1, Epoch: -1, Seq: -1, Magic: 2}
	if err := e.fill(valueOf(&spec), obj); err != nil {
		return nil, err
	}
	return spec.encode()
}

func (s batchSpec) encode() ([]byte, error) {
	var raw []byte
	n := len(s.Values)
	for i := range n {
		raw = append(raw, s.record(i)...)
	}
	codec := map[string]int16{"": 0, "none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}[s.Codec]
	if codec != 0 {
		var err error
		if raw, err = compress(codec, raw); err != nil {
			return nil, err
		}
	}
	attrs := s.Attrs | codec
	if s.Txn {
		attrs |= 1 << 4
	}
	if s.Control {
		attrs |= 1 << 5
	}
	b := kmsg.RecordBatch{
		FirstOffset: s.Base, Magic: s.Magic, Attributes: attrs, LastOffsetDelta: int32(n) - 1, //nolint:gosec // few records
		FirstTimestamp: s.Time, MaxTimestamp: s.Time + s.Step*int64(max(n-1, 0)),
		ProducerID: s.Pid, ProducerEpoch: s.Epoch, FirstSequence: s.Seq, NumRecords: int32(n), Records: raw, //nolint:gosec // few records
		Length: int32(batchHead - 12 + len(raw)), //nolint:gosec // a test batch
	}
	b.Length += s.Length
	if s.Count != 0 {
		b.NumRecords = s.Count
	}
	if s.Last != 0 {
		b.LastOffsetDelta = s.Last
	}
	if s.MaxTime != 0 {
		b.MaxTimestamp = s.MaxTime
	}
	out := b.AppendTo(nil)
	sum := crc32.Checksum(out[21:], castagnoli)
	if s.BadCRC {
		sum++
	}
	binary.BigEndian.PutUint32(out[17:], sum)
	return out, nil
}

func (s batchSpec) record(i int) []byte {
	r := kmsg.Record{TimestampDelta64: s.Step * int64(i), OffsetDelta: int32(i) + s.FirstAt} //nolint:gosec // few records
	if v := s.Values[i]; v != nil {
		r.Value = []byte(*v)
	}
	if i < len(s.Keys) && s.Keys[i] != nil {
		r.Key = []byte(*s.Keys[i])
	}
	for _, h := range s.Headers {
		k, v, _ := strings.Cut(h, "=")
		r.Headers = append(r.Headers, kmsg.Header{Key: k, Value: []byte(v)})
	}
	body := r.AppendTo(nil)[1:] // without the length 0, which takes one byte
	r.Length = int32(len(body)) //nolint:gosec // a test record
	return r.AppendTo(nil)
}

func compress(codec int16, raw []byte) ([]byte, error) {
	codecs := map[int16]kgo.CompressionCodec{1: kgo.GzipCompression(), 2: kgo.SnappyCompression(), 3: kgo.Lz4Compression(), 4: kgo.ZstdCompression()}
	c, err := kgo.DefaultCompressor(codecs[codec])
	if err != nil {
		return nil, err
	}
	out, _ := c.Compress(new(bytes.Buffer), raw)
	return append([]byte(nil), out...), nil
}

// dumpBatches tells what is in the record bytes of a fetch answer, a line for each batch, with its records behind it.
// Bytes after the last whole batch are told by their presence only: how far a broker cuts into a batch is its own affair.
func (e *env) dumpBatches(b []byte) []string {
	var lines []string
	for len(b) > 0 {
		if len(b) < batchHead {
			return append(lines, "(part of a batch)")
		}
		size := 12 + int(int32(binary.BigEndian.Uint32(b[8:]))) //nolint:gosec // a length on the wire
		if size < batchHead || size > len(b) {
			return append(lines, "(part of a batch)")
		}
		lines = append(lines, e.dumpBatch(b[:size]))
		b = b[size:]
	}
	return lines
}

func (e *env) dumpBatch(b []byte) string {
	var h kmsg.RecordBatch
	if err := h.ReadFrom(b); err != nil {
		return fmt.Sprintf("batch that cannot be read: %v", err)
	}
	codec := h.Attributes & 7
	line := fmt.Sprintf("batch %d..%d codec=%s", h.FirstOffset, h.FirstOffset+int64(h.LastOffsetDelta),
		[]string{"none", "gzip", "snappy", "lz4", "zstd", "?5", "?6", "?7"}[codec])
	if name := e.sameBatch(b); name != "" {
		line += " bytes=$" + name
	}
	if crc32.Checksum(b[21:], castagnoli) != uint32(h.CRC) { //nolint:gosec // a checksum has no sign
		line += " BADCRC"
	}
	if h.Attributes&^7 != 0 {
		line += fmt.Sprintf(" attributes=%#x", h.Attributes&^7)
	}
	line += " max=" + e.when(h.MaxTimestamp)
	if h.ProducerID != -1 || h.ProducerEpoch != -1 || h.FirstSequence != -1 {
		line += fmt.Sprintf(" producer=%s/%d/%d", e.symbol("ProducerID", h.ProducerID), h.ProducerEpoch, h.FirstSequence)
	}
	raw, err := kgo.DefaultDecompressor().Decompress(h.Records, kgo.CompressionCodecType(codec)) //nolint:gosec // 3 bits
	if err != nil {
		return line + fmt.Sprintf(" (records: %v)", err)
	}
	var rs []string
	for range h.NumRecords {
		n, used := binary.Varint(raw)
		if used <= 0 || n < 0 || int64(len(raw)-used) < n {
			rs = append(rs, "(cut)")
			break
		}
		var r kmsg.Record
		if err := r.ReadFrom(raw[:used+int(n)]); err != nil {
			rs = append(rs, "(unreadable)")
			break
		}
		raw = raw[used+int(n):]
		rs = append(rs, dumpRecord(r))
	}
	return line + " [" + strings.Join(rs, " ") + "]"
}

func dumpRecord(r kmsg.Record) string {
	s := showBytes(r.Value)
	if r.Key != nil {
		s = showBytes(r.Key) + "=" + s
	}
	for _, h := range r.Headers {
		s += "+" + h.Key + ":" + showBytes(h.Value)
	}
	return s
}

// sameBatch returns the name of the batch variable whose bytes b has, but for base offset and leader epoch.
func (e *env) sameBatch(b []byte) string {
	for _, name := range e.batches {
		v, _ := e.vars[name].([]byte)
		if len(v) == len(b) && len(b) > 16 && bytes.Equal(v[16:], b[16:]) {
			return name
		}
	}
	return ""
}

// showBytes shows bytes as a short word: plain text as it is, long runs shortened, anything else in hexadecimal.
func showBytes(b []byte) string {
	if b == nil {
		return "null"
	}
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return fmt.Sprintf("0x%x", b)
		}
	}
	if len(b) > 64 {
		return fmt.Sprintf("%s...(%d bytes, crc %08x)", b[:8], len(b), crc32.ChecksumIEEE(b))
	}
	if len(b) == 0 || bytes.ContainsAny(b, " =\"") {
		return fmt.Sprintf("%q", b)
	}
	return string(b)
}
