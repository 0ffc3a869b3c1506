package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// Walker gets what Walk finds. Nil functions are left out. An error of one ends the walk.
type Walker struct {
	File  func(FileInfo) error
	Frame func(FrameInfo) error
}

// FileInfo is a file of the chain.
type FileInfo struct {
	Path        string
	Base        Position
	Bytes       int64 // on disk
	Incarnation uint64
	Start       Position // where the incarnation begins
	Recovered   Position // where the log ended before it, 0 if unknown
	Problem     error    // with the header; the other fields but Path and Base are then zero, and the frames are not read
}

// FrameInfo is a frame, good or damaged. A dead frame, behind the end of its incarnation, looks like any other.
type FrameInfo struct {
	Path        string
	Offset      int64 // in the file
	LastSynced  Position
	Mark, Close bool
	Frame       *Frame // valid during the call; without contents if Problem is not nil
	Problem     error  // of footer or body
}

// Walk reads every file of dir by itself and every frame in it, with bodies, and goes on behind damage. It is for tools that look at a directory which
// no Log has open; what is part of the log only Scan can tell. It changes nothing.
func Walk(ctx context.Context, fsys vfs.FS, dir string, cluster [16]byte, w Walker) error {
	bases, err := listFiles(fsys, dir)
	if err != nil {
		return err
	}
	for _, base := range bases {
		f, err := openChainFile(fsys, dir, base, cluster)
		info := FileInfo{Path: filepath.Join(dir, fileName(base)), Base: base, Problem: err}
		if err == nil {
			info.Bytes, info.Incarnation, info.Start, info.Recovered = f.size, f.header.Incarnation, f.header.Start, f.header.Recovered
		}
		if w.File != nil {
			if err := w.File(info); err != nil {
				return errors.Join(err, closeChainFile(f))
			}
		}
		if f == nil {
			continue
		}
		if w.Frame != nil {
			err = f.walk(ctx, w.Frame)
		}
		if err := errors.Join(err, closeChainFile(f)); err != nil {
			return err
		}
	}
	return nil
}

func closeChainFile(f *chainFile) error {
	if f == nil {
		return nil
	}
	return f.f.Close()
}

// walk calls visit for every frame header in f that is good.
func (f *chainFile) walk(ctx context.Context, visit func(FrameInfo) error) error {
	var w window
	var fr Frame
	w.open(f)
	buf := make([]byte, bodyChunkBytes)
	for off := int64(fileHeaderBytes); off < f.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var h frameHeader
		if err := w.readHeader(off, &h); err != nil {
			if isReadError(err) {
				return err
			}
			off += pageBytes
			continue
		}
		info := FrameInfo{Path: f.path, Offset: off, LastSynced: h.LastSynced, Mark: h.Flags&flagMark != 0, Close: h.Flags&flagClose != 0, Frame: &fr}
		if info.Problem = w.readFooter(off, &h, &fr); info.Problem == nil {
			info.Problem = f.verifyBody(&fr, buf)
		}
		if isReadError(info.Problem) {
			return fmt.Errorf("walk the log: %w", info.Problem)
		}
		step := fr.Bytes
		if info.Problem != nil {
			fr.Runs, fr.Controls = fr.Runs[:0], fr.Controls[:0]
			step = pageBytes // the length is not to be trusted: the next frame may begin anywhere
		}
		if err := visit(info); err != nil {
			return err
		}
		off += step
	}
	return nil
}
