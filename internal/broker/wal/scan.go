package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// ScanOptions configures a Scan. FS and Dir must be set.
type ScanOptions struct {
	FS        vfs.FS
	Dir       string
	ClusterID [16]byte
	// From is where to begin: frames that end at or below it are not visited. 0 is the oldest file.
	From Position
	// Sealed maps an incarnation to the first sequence number that is not part of the log. All frames below it must be there.
	// Incarnations that are missing in it end where their frames end.
	Sealed map[uint64]uint64
	// Verify has the bodies of all frames checked, not only of those that may be torn.
	Verify bool
	// ReadOnly leaves the files alone. Otherwise Scan writes the frames at the end, of which it is not known that they
	// reached the device, once more and syncs them: what it has visited is durable when it returns.
	ReadOnly bool
}

// ScanResult says where the log ends.
type ScanResult struct {
	End         Position // after the last frame; at least From
	NextStart   Position // for Options.Start: the begin of the first file that holds no frame of the log
	Incarnation uint64   // of the last file, 0 if there is none
	NextSeq     uint64   // the seal of Incarnation: one more than the sequence number of its last frame
	LastSynced  Position // the log was known to be durable up to here, before the scan
	TornAt      Position // where an unfinished frame begins, 0 if there is none
	Frames      int64    // visited
	Bytes       int64    // of the frames visited
}

// Scan reads the log from o.From to its end and calls visit for every frame, in order. It reads headers and footers; bodies only
// where they may be torn. A torn tail, which is a bad frame that was not known to be durable, ends the log; it is reported in the result.
//
// Bytes that were durable once and are bad now are a *CorruptError. Errors of visit and of reading are returned as they are.
// No Log may be open in the directory.
func Scan(ctx context.Context, o ScanOptions, visit func(*Frame) error) (ScanResult, error) {
	s := &scanner{ctx: ctx, o: o, visit: visit}
	defer s.close()
	if err := s.open(); err != nil {
		return s.res, err
	}
	for rest := s.files; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].header.Incarnation == rest[0].header.Incarnation {
			n++
		}
		life := rest[:n]
		rest = rest[n:]
		if err := s.scanLife(life, rest); err != nil {
			return s.res, err
		}
	}
	if !o.ReadOnly {
		if err := s.settle(); err != nil {
			return s.res, err
		}
	}
	return s.res, nil
}

// maxUnproven bounds the frames that wait for a later one to vouch for them. A writer leaves no more than its lanes.
const maxUnproven = 16

// scanner is one Scan.
type scanner struct {
	ctx   context.Context
	o     ScanOptions
	visit func(*Frame) error
	files []*chainFile
	w     window
	buf   []byte // for bodies
	free  []*Frame
	res   ScanResult

	// Of the incarnation being scanned.
	waiting   []pendingFrame // not visited yet
	unsettled []pendingFrame // visited, not known to be durable; without their contents
	proven    Position       // the log was durable up to here
	next      uint64         // expected sequence number
	known     bool           // next and chain are known
	chain     uint32
	closed    bool // its last frame says that it is the last
}

// pendingFrame is a frame with the file it lies in.
type pendingFrame struct {
	f     *chainFile
	frame *Frame
	pos   Position
	bytes int64
}

func (s *scanner) close() {
	for _, f := range s.files {
		f.f.Close() //nolint:errcheck // read only
	}
}

// open opens the files to scan: from the one before From if From is the begin of one, since the last frame of an incarnation
// must be seen to know its sequence number.
func (s *scanner) open() error {
	bases, err := listFiles(s.o.FS, s.o.Dir)
	if err != nil {
		return err
	}
	s.res.End, s.res.LastSynced, s.res.NextStart = s.o.From, 0, Position(roundUp(int64(s.o.From)))
	first := 0
	for i, base := range bases {
		if base+fileHeaderBytes < s.o.From {
			first = i
		}
	}
	for _, base := range bases[min(first, len(bases)):] {
		f, err := openChainFile(s.o.FS, s.o.Dir, base, s.o.ClusterID)
		if err != nil {
			return err
		}
		s.files = append(s.files, f)
	}
	if len(s.files) > 1 && s.files[0].end() <= s.o.From && !follows(s.files[0], s.files[1]) {
		// A trimmed file whose removal a crash has undone.
		if err := s.files[0].f.Close(); err != nil {
			return fmt.Errorf("close %s: %w", s.files[0].path, err)
		}
		s.files = s.files[1:]
	}
	if len(s.files) > 0 && s.files[0].end() <= s.o.From && (len(s.files) == 1 || s.files[1].header.Incarnation != s.files[0].header.Incarnation) {
		// Where its incarnation is sealed nothing is to be learnt from it, and damage in it is no reason to refuse the start.
		if f := s.files[0]; s.isSealed(f.header.Incarnation) {
			if err := f.f.Close(); err != nil {
				return fmt.Errorf("close %s: %w", f.path, err)
			}
			s.files = s.files[1:]
		}
	}
	if len(s.files) == 0 {
		return nil
	}
	if f := s.files[0]; s.o.From > 0 && f.base > s.o.From && (f.header.Start != f.base || f.header.Recovered > s.o.From) {
		return &CorruptError{File: f.path, Position: s.o.From, Reason: fmt.Sprintf("the chain begins at %v: a file before it is missing", f.base)}
	}
	if f := s.files[0]; f.base < s.o.From && s.o.From < f.end() {
		s.res.NextStart = f.end()
	}
	for i, b := range s.files[1:] {
		if a := s.files[i]; b.header.Incarnation < a.header.Incarnation || !follows(a, b) && (b.header.Incarnation != a.header.Incarnation || b.base < a.end()) {
			return &CorruptError{File: b.path, Position: b.base, Reason: fmt.Sprintf("file header does not follow from that of %s", a.path)}
		}
	}
	return nil
}

func (s *scanner) isSealed(incarnation uint64) bool {
	_, sealed := s.o.Sealed[incarnation]
	return sealed
}

// follows reports whether b can be the next file of the chain after a: of the same incarnation, or the first of a later one.
func follows(a, b *chainFile) bool {
	if a.header.Incarnation == b.header.Incarnation {
		return a.end() == b.base && a.header.Nonce == b.header.Nonce && a.header.Start == b.header.Start
	}
	return a.header.Incarnation < b.header.Incarnation && b.header.Start == b.base && a.end() <= b.base
}

// scanLife visits the frames of one incarnation, whose files are life. later are the files of the incarnations after it.
func (s *scanner) scanLife(life, later []*chainFile) error {
	h := &life[0].header
	s.res.Incarnation, s.res.NextSeq = h.Incarnation, 0
	s.next, s.chain, s.proven, s.closed = 0, 0, 0, false
	s.known = life[0].base == h.Start
	s.unsettled = s.unsettled[:0]
	seal, sealed := s.o.Sealed[h.Incarnation]
	var limit Position // the log ends here, as a later incarnation found it
	if len(later) > 0 {
		limit = later[0].header.Recovered
	}
	s.proven = max(s.proven, min(limit, life[len(life)-1].end()))

	bad, at, err := s.follow(life, seal, sealed, limit)
	if err != nil {
		return err
	}
	if bad != nil {
		if sealed && s.known && s.next < seal {
			return corrupt(bad.f, at, fmt.Sprintf("frame %d is missing, the incarnation is sealed at %d: %v", s.next, seal, bad.err))
		}
		if err := s.judge(life, bad, at); err != nil {
			return err
		}
	}
	if err := s.finish(sealed || limit > 0); err != nil {
		return err
	}
	s.res.LastSynced = max(s.res.LastSynced, min(s.proven, s.res.End))
	return nil
}

// badFrame is a place where the chain of frames ends, and why.
type badFrame struct {
	f      *chainFile
	err    error
	header bool // the header is good, the rest is not
}

// follow goes from frame to frame. It returns where it cannot go on, or nil if the incarnation is known to end there.
func (s *scanner) follow(life []*chainFile, seal uint64, sealed bool, limit Position) (*badFrame, Position, error) {
	at := life[0].base + fileHeaderBytes
	s.w.open(life[0])
	if s.o.From > at && s.o.From < life[0].end() && s.o.From%pageBytes == 0 {
		// A frame may begin at From; if none does, From is the end of the last one, and the way there has to be walked.
		var h frameHeader
		if err := s.w.readHeader(int64(s.o.From-life[0].base), &h); err == nil {
			at, s.known = s.o.From, false
		} else if isReadError(err) {
			return nil, 0, err
		}
	}
	for i := 0; ; {
		if err := s.ctx.Err(); err != nil {
			return nil, 0, err
		}
		if s.closed || sealed && s.known && s.next >= seal || limit > 0 && at >= limit {
			return nil, 0, nil
		}
		f := life[i]
		var h frameHeader
		err := s.header(f, at, &h)
		if isReadError(err) {
			return nil, 0, err
		}
		if err != nil && i+1 < len(life) && life[i+1].base == f.end() {
			// The frame may not have fitted into this file.
			s.w.open(life[i+1])
			nextErr := s.header(life[i+1], life[i+1].base+fileHeaderBytes, &h)
			if isReadError(nextErr) {
				return nil, 0, nextErr
			}
			if nextErr == nil && (s.known || h.Seq == 0) {
				i++
				f, at, err = life[i], life[i].base+fileHeaderBytes, nil
			} else {
				s.w.open(f)
			}
		}
		if err != nil {
			return &badFrame{f: f, err: err}, at, nil //nolint:nilerr // damage is a finding, not a failure
		}
		fr := s.newFrame()
		if err := s.w.readFooter(int64(at-f.base), &h, fr); err != nil {
			if isReadError(err) {
				return nil, 0, err
			}
			s.proven = max(s.proven, h.LastSynced)
			return &badFrame{f: f, err: err, header: true}, at, nil
		}
		if sealed && h.Seq >= seal {
			return nil, 0, nil
		}
		s.known, s.next, s.chain = true, h.Seq+1, h.CRC
		s.closed = h.Flags&flagClose != 0
		s.proven = max(s.proven, h.LastSynced)
		s.waiting = append(s.waiting, pendingFrame{f, fr, fr.Pos, fr.Bytes})
		at = fr.End()
		if err := s.deliver(maxUnproven); errors.Is(err, errTorn) {
			w := s.waiting[0]
			return nil, 0, corrupt(w.f, w.pos, "body does not have its checksum, and more frames follow than a writer leaves unfinished")
		} else if err != nil {
			return nil, 0, err
		}
	}
}

// header reads the header at p of f and checks that it continues the chain.
func (s *scanner) header(f *chainFile, p Position, h *frameHeader) error {
	if err := s.w.readHeader(int64(p-f.base), h); err != nil {
		return err
	}
	if s.known && (h.Seq != s.next || h.PrevChain != s.chain) {
		return fmt.Errorf("frame %d does not follow frame %d", h.Seq, int64(s.next)-1)
	}
	return nil
}

// How far judge looks for later frames in a file: at every page for a while, then at stretches longer than a usual frame. Every page of the
// rest of a file, most often unused, would cost a start after a crash a tenth of a second.
const (
	lookClosely = 8 << 20
	lookStride  = 8 << 20
	lookStretch = 1 << 20
)

// judge decides whether the bad frame at p is the torn tail of the incarnation, or corrupt. Nothing tells the two apart but the
// frames written after it: a writer takes up the second next frame only when this one is durable, and says so in its header.
func (s *scanner) judge(life []*chainFile, bad *badFrame, p Position) error {
	found := bad.header
	look := func(off int64) error {
		var h frameHeader
		if err := s.w.readHeader(off, &h); err != nil {
			if isReadError(err) {
				return err
			}
			return nil
		}
		if !s.known || h.Seq >= s.next {
			found = true
			s.proven = max(s.proven, h.LastSynced)
		}
		return nil
	}
	for _, f := range life {
		if f.end() <= p {
			continue
		}
		s.w.open(f)
		if f != bad.f {
			// A file that is used at all has a frame at its begin.
			if err := look(fileHeaderBytes); err != nil {
				return err
			}
			continue
		}
		begin := int64(p-f.base) + pageBytes
		for off := begin; off < f.size; off += pageBytes {
			if past := off - begin; past >= lookClosely && past%lookStride >= lookStretch {
				off += lookStride - past%lookStride - pageBytes
				continue
			}
			if err := look(off); err != nil {
				return err
			}
		}
	}
	if s.proven > p {
		return corrupt(bad.f, p, bad.err.Error())
	}
	if found {
		s.res.TornAt = p
	}
	return nil
}

// deliver visits waiting frames: those that are proven, and of the others the oldest, once verified, until only keep are left.
func (s *scanner) deliver(keep int) error {
	for len(s.waiting) > 0 {
		w := s.waiting[0]
		proven := w.frame.End() <= s.proven
		if !proven && len(s.waiting) <= keep {
			return nil
		}
		if !proven || s.o.Verify {
			if err := s.verify(w); err != nil {
				return err
			}
		}
		if err := s.hand(w, proven); err != nil {
			return err
		}
	}
	return nil
}

// errTorn says that a frame which nothing vouches for has a bad body.
var errTorn = errors.New("torn")

func (s *scanner) verify(w pendingFrame) error {
	if s.buf == nil {
		s.buf = make([]byte, bodyChunkBytes)
	}
	err := w.f.verifyBody(w.frame, s.buf)
	switch {
	case err == nil || isReadError(err):
		return err
	case w.frame.Pos < s.proven:
		return corrupt(w.f, w.frame.Pos, err.Error())
	}
	return errTorn
}

// hand gives the first waiting frame to visit.
func (s *scanner) hand(w pendingFrame, proven bool) error {
	s.waiting = s.waiting[1:]
	s.res.End = max(s.res.End, w.frame.End())
	s.res.NextSeq = w.frame.Seq + 1
	s.res.NextStart = max(s.res.NextStart, w.f.end())
	if !proven && len(w.frame.Runs)+len(w.frame.Controls) > 0 {
		s.unsettled = append(s.unsettled, pendingFrame{f: w.f, pos: w.pos, bytes: w.bytes})
	}
	if w.frame.End() > s.o.From {
		s.res.Frames++
		s.res.Bytes += w.frame.Bytes
		if err := s.visit(w.frame); err != nil {
			return err
		}
	}
	s.free = append(s.free, w.frame)
	return nil
}

// finish visits what is left of an incarnation. must says that all of it is part of the log.
func (s *scanner) finish(must bool) error {
	err := s.deliver(0)
	if !errors.Is(err, errTorn) {
		return err
	}
	w := s.waiting[0]
	if must {
		return corrupt(w.f, w.frame.Pos, "body does not have its checksum, and the incarnation is sealed behind it")
	}
	s.res.TornAt = w.frame.Pos
	s.free = s.free[:0]
	s.waiting = nil
	return nil
}

func (s *scanner) newFrame() *Frame {
	if n := len(s.free); n > 0 {
		f := s.free[n-1]
		s.free = s.free[:n-1]
		return f
	}
	return &Frame{}
}

// settle makes the frames durable of which it is not known that they are: they may have been read from the page cache of a
// process that died before its sync, or after a sync that failed and left the pages clean. So they are written again.
func (s *scanner) settle() error {
	for i := 0; i < len(s.unsettled); {
		f := s.unsettled[i].f
		w, err := s.o.FS.OpenReadWrite(f.path)
		if err != nil {
			return fmt.Errorf("open the end of the log to sync it: %w", err)
		}
		for ; i < len(s.unsettled) && s.unsettled[i].f == f && err == nil; i++ {
			err = f.rewrite(w, int64(s.unsettled[i].pos-f.base), s.unsettled[i].bytes)
		}
		if err == nil {
			err = w.SyncData()
		}
		if err := errors.Join(err, w.Close()); err != nil {
			return fmt.Errorf("sync the end of the log in %s: %w", f.path, err)
		}
	}
	return nil
}

// rewrite writes n bytes at off of f to the same place of w. The padding may not be there.
func (f *chainFile) rewrite(w vfs.File, off, n int64) error {
	buf := make([]byte, min(n, bodyChunkBytes))
	for n = min(n, f.size-off); n > 0; {
		p := buf[:min(n, int64(len(buf)))]
		if err := f.read(p, off); err != nil {
			return err
		}
		if _, err := w.WriteAt(p, off); err != nil {
			return err
		}
		off += int64(len(p))
		n -= int64(len(p))
	}
	return nil
}

func corrupt(f *chainFile, p Position, reason string) error {
	return &CorruptError{File: f.path, Offset: int64(p - f.base), Position: p, Reason: reason}
}
