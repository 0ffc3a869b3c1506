package state

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The files in testdata are rewritten by go test -run Golden -rewrite. A difference there is a change of the format: it
// needs a new version and a decoder for the old one.
var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

const testNow = 1_700_000_000_000

func sampleManifest() *Manifest {
	return &Manifest{
		Incarnation: 9, FirstFrame: 1 << 33,
		Shard: 3, Epoch: 7, Version: 1 << 33, WALTrim: 5 << 40, Checkpoint: "c/00003/00000007.0000000000000009",
		Objects: []Object{
			{Key: "l/00003/00000006.0000000000000001", Level: 2, Bytes: 1 << 31, LiveBytes: 1 << 30, CreatorEpoch: 6, CreatedAt: testNow - 5000, MaxTimestamp: testNow - 7000},
			{Key: "l/00003/00000007.0000000000000002", Level: 1, Bytes: 64 << 20, LiveBytes: 64 << 20, CreatorEpoch: 7, CreatedAt: testNow, MaxTimestamp: -1},
		},
		Tombstones: []Tombstone{{Key: "l/00003/00000006.0000000000000000", Version: 1<<33 - 1}},
	}
}

func sampleCheckpoint() *Checkpoint {
	return &Checkpoint{
		Shard: 3, Epoch: 7, ManifestVersion: 9, WALPosition: 5 << 40, CreatedAt: testNow,
		Partitions: []Partition{
			{
				Topic: [16]byte{1, 2, 3}, Partition: 0, LogStart: 100, LastStableOffset: 480, NextOffset: 500,
				MaxTimestamp: testNow - 1, MaxTimestampOffset: 499, SizeBytes: 123456, CleanedOffset: 50,
				Epochs:   []EpochStart{{0, 0}, {5, 120}, {7, 300}},
				Segments: []Segment{{100, 100000, testNow - 900, testNow - 1000}, {400, 23456, testNow - 1, testNow - 700}},
				Runs: []Run{
					{Object: 0, Pos: 64, Bytes: 90000, BaseOffset: 100, NextOffset: 300, RecordCount: 200, MinTimestamp: testNow - 2000, MaxTimestamp: testNow - 900, AbortedFrom: -1},
					{Object: 1, Pos: 70000, Bytes: 30000, BaseOffset: 310, NextOffset: 450, RecordCount: 139, MinTimestamp: testNow - 900, MaxTimestamp: testNow - 700, AbortedFrom: 297},
				},
				Extents: []Extent{{BaseOffset: 450, NextOffset: 500, Position: 5<<40 + 8192, Bytes: 3456, RecordCount: 50, MinTimestamp: testNow - 9, MaxTimestamp: testNow - 1, CRC: 0xdeadbeef}},
				Aborted: []Aborted{{ProducerID: 1001, FirstOffset: 440, LastOffset: 460, LastStableOffset: 461}},
				Producers: []Producer{
					{ID: 1000, Epoch: 0, CoordinatorEpoch: -1, LastTimestamp: testNow - 1, TxnFirstOffset: -1, Batches: []ProducerBatch{
						{FirstSequence: 0, LastSequence: 9, BaseOffset: 450, LastOffset: 459, Timestamp: testNow - 9},
						{FirstSequence: 10, LastSequence: 19, BaseOffset: 461, LastOffset: 470, Timestamp: testNow - 1},
					}},
					{ID: 1001, Epoch: 32767, CoordinatorEpoch: 4, LastTimestamp: testNow, TxnFirstOffset: 480, Batches: []ProducerBatch{
						{FirstSequence: math.MaxInt32 - 1, LastSequence: 3, BaseOffset: 480, LastOffset: 485, Timestamp: testNow},
					}},
				},
				Unmarked: []Unmarked{{ProducerID: 1003, Epoch: 2, FirstOffset: 430, Uncertain: true}, {ProducerID: 1001, Epoch: 32767, FirstOffset: 440}},
			},
			{Topic: [16]byte{1, 2, 3}, Partition: 4, MaxTimestamp: -1, MaxTimestampOffset: -1},
			{Topic: [16]byte{9}, Partition: 1, LogStart: 1 << 40, LastStableOffset: 1 << 40, NextOffset: 1 << 40},
		},
	}
}

func mustEncode(t testing.TB, e interface{ Encode() ([]byte, error) }) []byte {
	t.Helper()
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenFilesKeepTheFormat(t *testing.T) {
	t.Parallel()
	for name, encoded := range map[string][]byte{
		"manifest":         mustEncode(t, sampleManifest()),
		"manifest-empty":   mustEncode(t, &Manifest{}),
		"checkpoint":       mustEncode(t, sampleCheckpoint()),
		"checkpoint-empty": mustEncode(t, &Checkpoint{}),
	} {
		path := filepath.Join("testdata", name+".hex")
		if *rewrite {
			if err := os.WriteFile(path, []byte(hex.Dump(encoded)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.Dump(encoded); got != string(want) {
			t.Errorf("%s: the format has changed\ngot\n%swant\n%s", name, got, want)
		}
	}
}

// undump reads what hex.Dump made of a golden file.
func undump(t *testing.T, name string) []byte {
	t.Helper()
	dump, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for line := range strings.Lines(string(dump)) {
		fields, _, _ := strings.Cut(line, "|")
		for i, f := range strings.Fields(fields) {
			if i > 0 {
				x, err := hex.DecodeString(f)
				if err != nil {
					t.Fatal(err)
				}
				b = append(b, x...)
			}
		}
	}
	return b
}

// A manifest of version 1 says nothing of who wrote it.
func TestManifestOfVersionOneIsRead(t *testing.T) {
	t.Parallel()
	want := sampleManifest()
	want.Incarnation, want.FirstFrame = 0, 0
	if got, err := DecodeManifest(undump(t, "manifest-v1")); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// A checkpoint of version 1 says nothing of aborted transactions in runs: there are none.
func TestCheckpointOfVersionOneIsRead(t *testing.T) {
	t.Parallel()
	b := undump(t, "checkpoint-v1")
	want := sampleCheckpoint()
	for i := range want.Partitions[0].Runs {
		want.Partitions[0].Runs[i].AbortedFrom = -1
	}
	want.Partitions[0].Unmarked = want.Partitions[0].Unmarked[1:] // it was aborted behind the runs: that is known
	if got, err := DecodeCheckpoint(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// One of version 2 does not list transactions without a marker in the runs. Those that are known all the same are there.
func TestCheckpointOfVersionTwoIsRead(t *testing.T) {
	t.Parallel()
	want := sampleCheckpoint()
	want.Partitions[0].Unmarked = want.Partitions[0].Unmarked[1:]
	if got, err := DecodeCheckpoint(undump(t, "checkpoint-v2")); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestSamplesSurvive(t *testing.T) {
	t.Parallel()
	for _, m := range []*Manifest{sampleManifest(), {}} {
		got, err := DecodeManifest(mustEncode(t, m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, %v, want %+v", got, err, m)
		}
	}
	for _, c := range []*Checkpoint{sampleCheckpoint(), {}} {
		got, err := DecodeCheckpoint(mustEncode(t, c))
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("got %+v, %v, want %+v", got, err, c)
		}
	}
}

// TestDamageIsFound flips and cuts every byte: no damaged object may be decoded.
func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	decoders := map[string]func([]byte) error{
		"manifest":   func(b []byte) error { _, err := DecodeManifest(b); return err },
		"checkpoint": func(b []byte) error { _, err := DecodeCheckpoint(b); return err },
	}
	for name, good := range map[string][]byte{"manifest": mustEncode(t, sampleManifest()), "checkpoint": mustEncode(t, sampleCheckpoint())} {
		for i := range good {
			for _, x := range []byte{1, 0x80, 0xff} {
				bad := bytes.Clone(good)
				bad[i] ^= x
				wantCorrupt(t, fmt.Sprintf("%s with byte %d changed", name, i), decoders[name](bad))
			}
			wantCorrupt(t, fmt.Sprintf("%s cut to %d", name, i), decoders[name](good[:i]))
		}
		wantCorrupt(t, name+" with a byte more", decoders[name](append(bytes.Clone(good), 0)))
		body := good[:len(good)-tailBytes]
		wantCorrupt(t, name+" with bytes after the body", decoders[name](seal(append(bytes.Clone(body), 0))))
		for i := headBytes; i < len(body); i++ {
			wantCorrupt(t, fmt.Sprintf("%s with a body of %d bytes", name, i), decoders[name](seal(bytes.Clone(body[:i]))))
		}
		newer := bytes.Clone(body)
		newer[9]++
		if err := decoders[name](seal(newer)); !errors.Is(err, ErrVersion) {
			t.Errorf("%s of a newer version: got %v, want ErrVersion", name, err)
		}
	}
	wantCorrupt(t, "manifest read as checkpoint", decoders["checkpoint"](mustEncode(t, sampleManifest())))
}

func wantCorrupt(t *testing.T, what string, err error) {
	t.Helper()
	if _, ok := errors.AsType[*CorruptError](err); !ok {
		t.Fatalf("%s: got %v, want a CorruptError", what, err)
	}
}

func TestEncodeRefusesWhatBreaksTheRules(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(m *Manifest){
		"negative shard":      func(m *Manifest) { m.Shard = -1 },
		"negative position":   func(m *Manifest) { m.WALTrim = -1 },
		"no key":              func(m *Manifest) { m.Objects[0].Key = "" },
		"long key":            func(m *Manifest) { m.Objects[0].Key = strings.Repeat("k", MaxKeyBytes+1) },
		"long checkpoint key": func(m *Manifest) { m.Checkpoint = strings.Repeat("k", MaxKeyBytes+1) },
		"more live than all":  func(m *Manifest) { m.Objects[0].LiveBytes = m.Objects[0].Bytes + 1 },
		"tombstone of no key": func(m *Manifest) { m.Tombstones[0].Key = "" },
	} {
		m := sampleManifest()
		change(m)
		if _, err := m.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	for name, change := range map[string]func(c *Checkpoint, p *Partition){
		"negative shard":           func(c *Checkpoint, _ *Partition) { c.Shard = -1 },
		"negative position":        func(c *Checkpoint, _ *Partition) { c.WALPosition = -1 },
		"partitions out of order":  func(c *Checkpoint, _ *Partition) { c.Partitions[0], c.Partitions[1] = c.Partitions[1], c.Partitions[0] },
		"partition twice":          func(c *Checkpoint, _ *Partition) { c.Partitions[1].Partition = 0 },
		"negative partition":       func(_ *Checkpoint, p *Partition) { p.Partition = -1 },
		"LSO below start":          func(_ *Checkpoint, p *Partition) { p.LastStableOffset = 99 },
		"LSO above end":            func(_ *Checkpoint, p *Partition) { p.LastStableOffset = 501 },
		"negative size":            func(_ *Checkpoint, p *Partition) { p.SizeBytes = -1 },
		"epochs out of order":      func(_ *Checkpoint, p *Partition) { p.Epochs[1].Epoch = 0 },
		"epoch starts back":        func(_ *Checkpoint, p *Partition) { p.Epochs[2].Start = 119 },
		"segments out of order":    func(_ *Checkpoint, p *Partition) { p.Segments[1].BaseOffset = 99 },
		"runs overlap":             func(_ *Checkpoint, p *Partition) { p.Runs[1].BaseOffset = 299 },
		"run ends before it began": func(_ *Checkpoint, p *Partition) { p.Runs[1].NextOffset = 309 },
		"negative object":          func(_ *Checkpoint, p *Partition) { p.Runs[0].Object = -1 },
		"object too high":          func(_ *Checkpoint, p *Partition) { p.Runs[0].Object = 1 << 31 },
		"extent backwards":         func(_ *Checkpoint, p *Partition) { p.Extents[0].NextOffset = 449 },
		"negative extent position": func(_ *Checkpoint, p *Partition) { p.Extents[0].Position = -1 },
		"aborted backwards":        func(_ *Checkpoint, p *Partition) { p.Aborted[0].FirstOffset = 461 },
		"producers out of order":   func(_ *Checkpoint, p *Partition) { p.Producers[1].ID = 1000 },
		"negative producer":        func(_ *Checkpoint, p *Partition) { p.Producers[0].ID = -1 },
		"too many batches":         func(_ *Checkpoint, p *Partition) { p.Producers[0].Batches = make([]ProducerBatch, 6) },
		"batch backwards":          func(_ *Checkpoint, p *Partition) { p.Producers[0].Batches[0].LastOffset = 449 },
		"unmarked out of order":    func(_ *Checkpoint, p *Partition) { p.Unmarked[0].FirstOffset = 9999 },
		"transaction at the end":   func(_ *Checkpoint, p *Partition) { p.Producers[0].TxnFirstOffset = math.MaxInt64 },
		"sequence below -1":        func(_ *Checkpoint, p *Partition) { p.Producers[0].Batches[0].FirstSequence = -2 },
	} {
		c := sampleCheckpoint()
		change(c, &c.Partitions[0])
		if _, err := c.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestRandomCheckpointsSurvive(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		c := randomCheckpoint(rand.New(rand.NewPCG(seed, 2)))
		b := mustEncode(t, c)
		got, err := DecodeCheckpoint(b)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !reflect.DeepEqual(got, c) {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got, c)
		}
	}
}

// TestCheckpointsOfLeastItemsSurvive has items that take the fewest bytes possible, so that a bound on counts that is
// too strict is noticed.
func TestCheckpointsOfLeastItemsSurvive(t *testing.T) {
	t.Parallel()
	const n = 1000
	least := Partition{
		Epochs: make([]EpochStart, 1), Segments: make([]Segment, n), Runs: make([]Run, n), Extents: make([]Extent, n), Aborted: make([]Aborted, n),
		Producers: make([]Producer, n), Unmarked: make([]Unmarked, n),
	}
	for i := range least.Producers {
		least.Producers[i] = Producer{ID: int64(i), TxnFirstOffset: -1, Batches: make([]ProducerBatch, MaxProducerBatches)}
	}
	full := &Checkpoint{Partitions: []Partition{least}}
	for i := range int32(n) {
		full.Partitions[0].Epochs = append(full.Partitions[0].Epochs[:i], EpochStart{Epoch: i})
	}
	empty := &Checkpoint{Partitions: make([]Partition, n)}
	for i := range empty.Partitions {
		empty.Partitions[i].Partition = int32(i)
	}
	for _, c := range []*Checkpoint{full, empty} {
		got, err := DecodeCheckpoint(mustEncode(t, c))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("a checkpoint of %d least partitions changed", len(c.Partitions))
		}
	}
	m := &Manifest{Objects: make([]Object, n), Tombstones: make([]Tombstone, n)}
	for i := range n {
		m.Objects[i].Key, m.Tombstones[i].Key = "k", "k"
	}
	if got, err := DecodeManifest(mustEncode(t, m)); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("a manifest of least objects changed: %v", err)
	}
}

func TestListsOfACheckpointDoNotShareTheirEnds(t *testing.T) {
	t.Parallel()
	c := sampleCheckpoint()
	got, err := DecodeCheckpoint(mustEncode(t, c))
	if err != nil {
		t.Fatal(err)
	}
	p := &got.Partitions[0]
	p.Producers[0].Batches = append(p.Producers[0].Batches, ProducerBatch{FirstSequence: 77})
	p.Epochs = append(p.Epochs, EpochStart{99, 999})
	if !reflect.DeepEqual(p.Producers[1], c.Partitions[0].Producers[1]) {
		t.Errorf("appending to one producer's batches changed the next: %+v", p.Producers[1])
	}
}

// wild returns a timestamp, often an odd one.
func wild(rng *rand.Rand) int64 {
	switch rng.IntN(12) {
	case 0:
		return -1
	case 1:
		return math.MaxInt64
	case 2:
		return math.MinInt64
	case 3:
		return int64(rng.Uint64())
	}
	return testNow + rng.Int64N(100_000) - 50_000
}

func randomCheckpoint(rng *rand.Rand) *Checkpoint {
	c := &Checkpoint{Shard: rng.Int32(), Epoch: rng.Uint64(), ManifestVersion: rng.Uint64N(1000), WALPosition: rng.Int64(), CreatedAt: wild(rng)}
	topic, partition := [16]byte{byte(rng.IntN(3))}, int32(-1)
	for range rng.IntN(12) {
		if rng.IntN(3) == 0 {
			topic[0]++
			topic[9], partition = byte(rng.Uint32()), -1
		}
		partition += 1 + rng.Int32N(5)
		c.Partitions = append(c.Partitions, randomPartition(rng, topic, partition))
	}
	return c
}

func randomPartition(rng *rand.Rand, topic [16]byte, partition int32) Partition {
	p := Partition{
		Topic: topic, Partition: partition, LogStart: rng.Int64N(1 << uint(1+rng.IntN(61))),
		MaxTimestamp: wild(rng), MaxTimestampOffset: rng.Int64() - 1, SizeBytes: rng.Int64(), CleanedOffset: rng.Int64(),
	}
	p.LastStableOffset = p.LogStart + rng.Int64N(1000)
	p.NextOffset = p.LastStableOffset + rng.Int64N(1000)
	epoch, offset := int32(-1), p.LogStart
	for range rng.IntN(4) {
		epoch += 1 + rng.Int32N(1000)
		offset += rng.Int64N(100)
		p.Epochs = append(p.Epochs, EpochStart{epoch, offset})
		p.Segments = append(p.Segments, Segment{offset, rng.Int64(), wild(rng), wild(rng)})
	}
	offset = p.LogStart
	for range rng.IntN(4) {
		base := offset + rng.Int64N(50)
		offset = base + rng.Int64N(50)
		p.Runs = append(p.Runs, Run{rng.IntN(1 << 20), rng.Int64(), rng.Int64(), base, offset, rng.Int64(), wild(rng), wild(rng), rng.Int64N(1<<40) - 1})
		p.Extents = append(p.Extents, Extent{base, offset, rng.Int64(), rng.Int64(), rng.Int64(), wild(rng), wild(rng), rng.Uint32()})
		p.Aborted = append(p.Aborted, Aborted{int64(rng.Uint64()), base - rng.Int64N(base+1), offset, rng.Int64()})
	}
	first := int64(0)
	for range rng.IntN(4) {
		first += rng.Int64N(1000)
		p.Unmarked = append(p.Unmarked, Unmarked{wild(rng), int16(rng.IntN(1<<15)) - 1, first, rng.IntN(2) == 0})
	}
	id := int64(-1)
	for range rng.IntN(5) {
		id += 1 + rng.Int64N(1000)
		s := Producer{ID: id, Epoch: int16(rng.IntN(1<<15)) - 1, CoordinatorEpoch: rng.Int32() - 1, LastTimestamp: wild(rng), TxnFirstOffset: rng.Int64() - 1}
		for range rng.IntN(MaxProducerBatches + 1) {
			base := rng.Int64()
			s.Batches = append(s.Batches, ProducerBatch{rng.Int32() - 1, rng.Int32() - 1, base, base + rng.Int64N(math.MaxInt64-base+1), wild(rng)})
		}
		p.Producers = append(p.Producers, s)
	}
	return p
}

// withChecksum puts the right checksum under damaged bytes, so that fuzzing reaches the decoder.
func withChecksum(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= tailBytes {
		end := len(b) - tailBytes
		sum := crc32.Checksum(b[:end], castagnoli)
		b[end], b[end+1], b[end+2], b[end+3] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	}
	return b
}

func FuzzDecodeManifest(f *testing.F) {
	for _, m := range []*Manifest{sampleManifest(), {}} {
		f.Add(mustEncode(f, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = withChecksum(b)
		m, err := DecodeManifest(b)
		if err != nil {
			return
		}
		if again := mustEncode(t, m); !bytes.Equal(again, b) {
			t.Fatalf("decoded and encoded again:\n%x\n%x", b, again)
		}
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	f.Add(mustEncode(f, sampleCheckpoint()))
	f.Add(mustEncode(f, &Checkpoint{}))
	for seed := range uint64(20) {
		f.Add(mustEncode(f, randomCheckpoint(rand.New(rand.NewPCG(seed, 5)))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = withChecksum(b)
		c, err := DecodeCheckpoint(b)
		if err != nil {
			return
		}
		if b[9] != byte(checkpointKind.version) {
			return // it is encoded anew in the present version
		}
		if again := mustEncode(t, c); !bytes.Equal(again, b) {
			t.Fatalf("decoded and encoded again:\n%x\n%x", b, again)
		}
	})
}

// largeCheckpoint has n partitions as a busy broker has them: 6 producers with 5 batches each, 3 runs, 8 extents.
func largeCheckpoint(n int) *Checkpoint {
	c := &Checkpoint{Shard: 1, Epoch: 3, ManifestVersion: 500, WALPosition: 1 << 42, CreatedAt: testNow}
	for i := range n {
		end := int64(1_000_000 + i*37)
		p := Partition{
			Topic: [16]byte{7, byte(i / 50), byte(i / 50 >> 8)}, Partition: int32(i % 50), LogStart: end / 2, LastStableOffset: end, NextOffset: end,
			MaxTimestamp: testNow - 5, MaxTimestampOffset: end - 1, SizeBytes: end * 100,
			Epochs:   []EpochStart{{1, 0}, {3, end - 5000}},
			Segments: []Segment{{end / 2, 1 << 29, testNow - 1e6, testNow - 2e6}, {end - 9000, 1 << 20, testNow - 5, testNow - 1e6}},
		}
		offset := end - 9000
		for k := range 3 {
			p.Runs = append(p.Runs, Run{k, int64(i) * 12000, 12000, offset, offset + 2000, 2000, testNow - 9e5, testNow - 8e5, -1})
			offset += 2000
		}
		for k := range 8 {
			p.Extents = append(p.Extents, Extent{offset, offset + 100, 1<<42 + int64(k)<<20 + int64(i)*1000, 10000, 100, testNow - 900, testNow - 800, uint32(i * k)})
			offset += 100
		}
		for k := range 6 {
			s := Producer{ID: int64(1000 + k*17), Epoch: 2, CoordinatorEpoch: -1, LastTimestamp: testNow - int64(k), TxnFirstOffset: -1}
			for j := range 5 {
				base := end - int64(100*(6-k)) + int64(j)*20
				s.Batches = append(s.Batches, ProducerBatch{int32(5000 + j*10), int32(5009 + j*10), base, base + 9, testNow - int64(40-j)})
			}
			p.Producers = append(p.Producers, s)
		}
		c.Partitions = append(c.Partitions, p)
	}
	return c
}

func BenchmarkCheckpointEncode(b *testing.B) {
	c := largeCheckpoint(5000)
	b.ReportAllocs()
	for b.Loop() {
		encoded := mustEncode(b, c)
		b.SetBytes(int64(len(encoded)))
	}
}

func BenchmarkCheckpointDecode(b *testing.B) {
	encoded := mustEncode(b, largeCheckpoint(5000))
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeCheckpoint(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
