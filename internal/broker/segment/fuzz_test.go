package segment

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// FuzzOpen gives arbitrary bytes as an object, with the checksums of trailer and directory put right if there is room
// for them, and uses whatever opens.
func FuzzOpen(f *testing.F) {
	for seed := range uint64(8) {
		object, _, _ := randomObject(f, rand.New(rand.NewPCG(seed, 4)), shape{runs: 5, batches: 5, payload: 200, indexBytes: 512})
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Open("o", &memObject{b: withChecksums(b)})
		if err != nil {
			return
		}
		_ = r.Scrub(t.Context()) // any verdict will do, a crash will not
		for _, run := range r.Runs() {
			if got, ok := r.FindRun(run.Topic, run.Partition); !ok || got != run {
				t.Fatalf("FindRun: got %+v %v, want %+v", got, ok, run)
			}
			pos, err := r.Locate(run, run.BaseOffset+(run.NextOffset-run.BaseOffset)/2)
			if err == nil && (pos < 0 || pos > run.Bytes) {
				t.Fatalf("Locate gave %d in a run of %d bytes", pos, run.Bytes)
			}
			pos, ok, err := r.LocateTime(run, run.MaxTimestamp)
			if err == nil && ok && (pos < 0 || pos >= run.Bytes) {
				t.Fatalf("LocateTime gave %d in a run of %d bytes", pos, run.Bytes)
			}
			_, _ = r.Aborted(run, run.BaseOffset, run.NextOffset)
			p := make([]byte, min(run.Bytes, 1000))
			_, _ = r.ReadAt(p, run.Pos)
		}
	})
}

// withChecksums makes Open get beyond the checksums of damaged bytes.
func withChecksums(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < trailerBytes {
		return b
	}
	tail := b[len(b)-trailerBytes:]
	if start := binary.BigEndian.Uint64(tail); start <= uint64(len(b)-trailerBytes) {
		raw := b[start : len(b)-trailerBytes]
		if len(raw) >= headerBytes {
			binary.BigEndian.PutUint32(raw[headerBytes-4:], crc32.Checksum(raw[:headerBytes-4], castagnoli))
		}
		binary.BigEndian.PutUint32(tail[16:], crc32.Checksum(raw, castagnoli))
	}
	binary.BigEndian.PutUint32(tail[trailerBytes-4:], crc32.Checksum(tail[:trailerBytes-4], castagnoli))
	return b
}

// FuzzParseDirectory gives arbitrary entries behind a good header: what is accepted must encode to the same bytes.
func FuzzParseDirectory(f *testing.F) {
	head := header{shard: 1, level: L1, created: testTime.UnixMilli(), indexBytes: 512}
	for seed := range uint64(8) {
		object, _, _ := randomObject(f, rand.New(rand.NewPCG(seed, 4)), shape{runs: 40, batches: 5, payload: 200, indexBytes: 512})
		f.Add(mustOpen(f, object).dir.raw[headerBytes:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, reason := parseDirectory(append(head.append(nil), b...))
		if reason != "" {
			return
		}
		var entries []entry
		for e := range d.all {
			if got, ok := d.find(e.Topic, e.Partition); !ok || got != e {
				t.Fatalf("find: got %+v %v, want %+v", got, ok, e)
			}
			if got, ok := d.at(e.Pos + e.Bytes - 1); !ok || got != e {
				t.Fatalf("at: got %+v %v, want %+v", got, ok, e)
			}
			entries = append(entries, e)
		}
		if again := appendDirectory(nil, head, entries); !bytes.Equal(again, d.raw) {
			t.Fatalf("decoded and encoded again:\n%x\n%x", d.raw, again)
		}
	})
}

// FuzzParseSection gives arbitrary bytes as a section: what is accepted must encode to the same bytes.
func FuzzParseSection(f *testing.F) {
	for seed := range uint64(8) {
		object, _, _ := randomObject(f, rand.New(rand.NewPCG(seed, 4)), shape{runs: 3, batches: 40, payload: 200, indexBytes: 512})
		r := mustOpen(f, object)
		for e := range r.dir.all {
			f.Add(object[e.sectionPos:e.sectionPos+e.sectionBytes], e.Bytes, e.BaseOffset, e.NextOffset, e.MinTimestamp, e.MaxTimestamp, e.aborted)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, runBytes, base, next, minTs, maxTs, aborted int64) {
		if runBytes <= 0 || runBytes > 1<<40 || base < 0 || next <= base || maxTs < minTs || aborted < 0 {
			return
		}
		e := &entry{RunInfo: RunInfo{Bytes: runBytes, BaseOffset: base, NextOffset: next, MinTimestamp: minTs, MaxTimestamp: maxTs}, aborted: aborted}
		s, reason := parseSection(b, e, 512)
		if reason != "" {
			return
		}
		if again := s.append(nil, e.RunInfo); !bytes.Equal(again, b) {
			t.Fatalf("decoded and encoded again:\n%x\n%x", b, again)
		}
	})
}
