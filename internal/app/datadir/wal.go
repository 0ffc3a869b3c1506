package datadir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/weir-stream/weir/internal/broker/wal"
)

// Damage is a place whose bytes are not what was written.
type Damage struct {
	File   string `json:"file"` // path, or key of an object
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
}

// WalkWAL visits every file and frame of the write-ahead log, also what is not part of it any more, and goes on behind damage.
func (d *Dir) WalkWAL(ctx context.Context, w wal.Walker) error {
	return wal.Walk(ctx, d.fs, d.walDir(), d.cluster, w)
}

// runBytesMax bounds a run that is read whole: no frame is longer than a file.
const runBytesMax = 4 << 30

// RunBytes reads the batches of a run of a frame that WalkWAL has found good. buf is used if it is large enough.
func (d *Dir) RunBytes(f wal.FrameInfo, r *wal.Run, buf []byte) ([]byte, error) {
	off := f.Offset + int64(r.Pos-f.Frame.Pos)
	if r.Bytes < 0 || r.Bytes > runBytesMax {
		return nil, fmt.Errorf("run of %d bytes in %s at %d", r.Bytes, f.Path, off)
	}
	if int64(cap(buf)) < r.Bytes {
		buf = make([]byte, r.Bytes)
	}
	buf = buf[:r.Bytes]
	file, err := d.fs.Open(f.Path)
	if err != nil {
		return nil, err
	}
	_, err = file.ReadAt(buf, off)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s ends within a run at %d", f.Path, off)
	}
	return buf, errors.Join(err, file.Close())
}

// WALSummary is what a check of the write-ahead log found to be whole.
type WALSummary struct {
	Frames int64 `json:"frames"`
	Bytes  int64 `json:"bytes"`
	// TornAt is the position of an unfinished frame at the end of the log, which is no damage; 0 if there is none.
	TornAt int64 `json:"torn_at,omitempty"`
}

// VerifyWAL checks every checksum of the log and that no frame is missing.
//
// A bad frame behind the end of the log is what a crash leaves: no damage. Where the log ends is what a start would find out,
// and where a start would refuse, everything bad from there on counts as damage.
func (d *Dir) VerifyWAL(ctx context.Context) (WALSummary, []Damage, error) {
	res, err := wal.Scan(ctx, wal.ScanOptions{FS: d.fs, Dir: d.walDir(), ClusterID: d.cluster, Sealed: d.sealed, Verify: true, ReadOnly: true},
		func(*wal.Frame) error { return nil })
	sum := WALSummary{Frames: res.Frames, Bytes: res.Bytes, TornAt: int64(res.TornAt)}
	var found []Damage
	corrupt, isCorrupt := errors.AsType[*wal.CorruptError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sum, nil, nil
	case isCorrupt:
		found = append(found, Damage{corrupt.File, corrupt.Offset, corrupt.Reason})
	case err != nil && ctx.Err() != nil:
		return sum, nil, err
	}
	end := res.End
	walkErr := d.WalkWAL(ctx, wal.Walker{
		File: func(f wal.FileInfo) error {
			if f.Problem != nil {
				found = append(found, Damage{f.Path, 0, f.Problem.Error()})
			}
			return nil
		},
		Frame: func(f wal.FrameInfo) error {
			if f.Problem != nil && (err != nil || f.Frame.Pos < end) {
				found = append(found, Damage{f.Path, f.Offset, f.Problem.Error()})
			}
			return nil
		},
	})
	if err != nil && !isCorrupt && len(found) == 0 {
		return sum, nil, err
	}
	return sum, oncePerPlace(found), walkErr
}

// oncePerPlace drops what was found at a place before, in another way.
func oncePerPlace(all []Damage) []Damage {
	type place struct {
		file   string
		offset int64
	}
	seen := map[place]bool{}
	var out []Damage
	for _, x := range all {
		p := place{x.File, x.Offset}
		if !seen[p] {
			seen[p] = true
			out = append(out, x)
		}
	}
	return out
}
