package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/vfs"
)

const (
	probeRacers = 16
	probeRounds = 4
	probeBody   = 40_000 // more than Open brings, so that ranges are asked for
	probeClean  = 10 * time.Second
)

// KnownToWork says which services do what the cluster needs; errors of Probe end with it.
const KnownToWork = "Known to work: versitygw 1.8 (tested). By their documentation: Amazon S3, Cloudflare R2, MinIO since June 2024. See docs/ops/object-store.md"

// Check is the result of one check of a store.
type Check struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
	Err  error         `json:"-"`
}

// Report is what Probe found, in the order of the checks. After one that failed there are no more.
type Report []Check

// Probe finds out whether a store does what safety in the cluster rests on. It writes some objects below the key
// "probe/RANDOM" and removes them. The error names the check that failed, says what it means, and names stores that work;
// the report has all checks up to it. An answer "no error" is evidence and no proof: a race that is lost once in a million
// is not found. A Store of this package learns on the way which checksums the service looks at.
func Probe(ctx context.Context, store blob.Store) (Report, error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	p := &probe{store: store, prefix: "probe/" + hex.EncodeToString(random[:]), body: bytes.Repeat(random[:], probeBody/len(random))}
	defer p.clean(ctx)
	checks := []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"read after write", p.readAfterWrite},
		{"write to a taken key is refused", p.refusedWhenTaken},
		{"one of 16 racing writers wins", p.race},
		{"upload in parts to a taken key is refused", p.upload},
		{"ranges are exact", p.ranges},
		{"a replaced object is noticed", p.replaced},
		{"list after write, sorted, in pages", p.list},
		{"gone after delete", p.deleted},
	}
	var report Report
	for _, c := range checks {
		begin := time.Now()
		err := c.run(ctx)
		report = append(report, Check{c.name, time.Since(begin), err})
		if err != nil {
			return report, unfit(c.name, err)
		}
	}
	if s, ok := store.(*Store); ok {
		begin := time.Now()
		report = append(report, Check{Name: p.chooseChecksum(ctx, s), Took: time.Since(begin)})
	}
	return report, nil
}

// unfit says what a check that failed means: a store that does not let us in, or is not there, may be as good as any.
func unfit(check string, err error) error {
	if IsRefusal(err) || IsAway(err) {
		return fmt.Errorf("the object store cannot be used, at check %q: %w", check, err)
	}
	return fmt.Errorf("the object store is not fit, at check %q: %w. %s", check, err, KnownToWork)
}

type probe struct {
	store  blob.Store
	prefix string
	body   []byte

	mu   sync.Mutex
	keys []string // to be removed
}

func (p *probe) key(name string) string {
	key := p.prefix + "/" + name
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, key)
	return key
}

// clean removes what the probe has written. What cannot be removed is small and harms nobody.
func (p *probe) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeClean)
	defer cancel()
	for _, key := range p.keys {
		if p.store.Delete(ctx, key) != nil {
			return
		}
	}
}

// holds says whether there is an object with this body.
func (p *probe) holds(ctx context.Context, key string, want []byte) error {
	r, err := p.store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	if r.Size() != int64(len(want)) {
		return fmt.Errorf("%s has %d bytes, %d were written", key, r.Size(), len(want))
	}
	got, err := r.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(len(want))), 0, len(want))
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%s does not hold what was written", key)
	}
	return err
}

func (p *probe) readAfterWrite(ctx context.Context) error {
	key := p.key("a")
	if _, err := p.store.Open(ctx, key); err == nil {
		return errors.New("a key that was never written is there")
	} else if !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("look for a key that was never written: %w", err)
	}
	if err := p.store.PutIfAbsent(ctx, key, p.body); err != nil {
		return err
	}
	if err := p.holds(ctx, key, p.body); err != nil {
		return err
	}
	empty := p.key("empty")
	if err := p.store.PutIfAbsent(ctx, empty, nil); err != nil {
		return err
	}
	return p.holds(ctx, empty, nil)
}

// errNone stands for no error, where one had to come.
var errNone = errors.New("no error")

func orNil(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

func (p *probe) refusedWhenTaken(ctx context.Context) error {
	key := p.key("taken")
	if err := p.store.PutIfAbsent(ctx, key, p.body); err != nil {
		return err
	}
	if err := p.store.PutIfAbsent(ctx, key, []byte("other")); !errors.Is(err, blob.ErrExists) {
		return fmt.Errorf("If-None-Match: * on a taken key: got %w, want %w", orNil(err), blob.ErrExists)
	}
	return p.holds(ctx, key, p.body)
}

func (p *probe) race(ctx context.Context) error {
	for round := range probeRounds {
		key := p.key(fmt.Sprintf("race-%d", round))
		var wg sync.WaitGroup
		var errs [probeRacers]error
		body := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, probeBody) }
		for i := range errs {
			wg.Go(func() { errs[i] = p.store.PutIfAbsent(ctx, key, body(i)) })
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				return fmt.Errorf("writers %d and %d both won: conditions are not looked at when writes race", winner, i)
			case err == nil:
				winner = i
			case !errors.Is(err, blob.ErrExists):
				return err
			}
		}
		if winner < 0 {
			return errors.New("no writer won, and all were told that the key is taken")
		}
		if err := p.holds(ctx, key, body(winner)); err != nil {
			return fmt.Errorf("after a race: %w", err)
		}
	}
	return nil
}

// create begins an upload in parts, also of what would fit into one request.
func (p *probe) create(ctx context.Context, key string) (blob.Writer, error) {
	if s, ok := p.store.(*Store); ok {
		return s.create(ctx, key, false)
	}
	return p.store.Create(ctx, key)
}

func (p *probe) upload(ctx context.Context) error {
	key := p.key("parts")
	first, err := p.create(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = first.Abort() }() // no effect after Commit
	second, err := p.create(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = second.Abort() }() // no effect after Commit
	if _, err := first.Write(p.body); err != nil {
		return err
	}
	if _, err := second.Write([]byte("other")); err != nil {
		return err
	}
	if err := first.Commit(ctx); err != nil {
		return err
	}
	if err := second.Commit(ctx); !errors.Is(err, blob.ErrExists) {
		return fmt.Errorf("CompleteMultipartUpload with If-None-Match: * on a taken key: got %w, want %w", orNil(err), blob.ErrExists)
	}
	return p.holds(ctx, key, p.body)
}

func (p *probe) ranges(ctx context.Context) error {
	r, err := p.store.Open(ctx, p.key("a"))
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	size := len(p.body)
	for _, c := range [][2]int{{0, 1}, {headBytes - 1, 2}, {headBytes + 3, 5}, {headBytes + 1, size - headBytes - 1}, {size - 1, 1}} {
		off, n := c[0], c[1]
		got, err := r.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(n)), int64(off), n)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, p.body[off:off+n]) {
			return fmt.Errorf("bytes [%d, %d) are wrong", off, off+n)
		}
	}
	return nil
}

// replaced accepts both that old bytes are read on and that they are refused.
func (p *probe) replaced(ctx context.Context) error {
	key := p.key("replaced")
	if err := p.store.Put(ctx, key, p.body); err != nil {
		return err
	}
	r, err := p.store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	other := bytes.Repeat([]byte{'x'}, len(p.body))
	if err := p.store.Put(ctx, key, other); err != nil {
		return err
	}
	got, err := r.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(10)), headBytes, 10)
	if err == nil && !bytes.Equal(got, p.body[headBytes:headBytes+10]) {
		return errors.New("the bytes of two objects are mixed")
	}
	if err != nil && !errors.Is(err, ErrReplaced) {
		return err
	}
	return p.holds(ctx, key, other)
}

func (p *probe) list(ctx context.Context) error {
	var want []string
	for _, name := range []string{"l/1", "l/10", "l/2", "l-1"} {
		key := p.key(name)
		if err := p.store.PutIfAbsent(ctx, key, nil); err != nil {
			return err
		}
		want = append(want, key)
	}
	slices.Sort(want)
	for _, limit := range []int{0, 1} {
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			infos, err := p.store.List(ctx, p.prefix+"/l", after, limit)
			if err != nil {
				return err
			}
			for _, i := range infos {
				got = append(got, i.Key)
			}
			if limit == 0 || len(infos) == 0 || len(got) > len(want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("listed %q, written were %q", got, want)
		}
	}
	return nil
}

func (p *probe) deleted(ctx context.Context) error {
	key := p.key("a")
	for range 2 {
		if err := p.store.Delete(ctx, key); err != nil {
			return err
		}
		if _, err := p.store.Open(ctx, key); !errors.Is(err, blob.ErrNotFound) {
			return fmt.Errorf("get after delete: got %w, want %w", orNil(err), blob.ErrNotFound)
		}
	}
	infos, err := p.store.List(ctx, key, "", 0)
	if err != nil {
		return err
	}
	if len(infos) > 0 {
		return fmt.Errorf("%s is listed after its delete", key)
	}
	return p.store.PutIfAbsent(ctx, key, nil)
}
