package scrub

import (
	"context"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

// paced is a store whose reads together keep to a rate.
type paced struct {
	blob.Store
	rate  int64 // bytes per second, 0 for no bound
	began time.Time

	mu   sync.Mutex
	read int64
}

func (p *paced) Open(ctx context.Context, key string) (blob.Reader, error) {
	r, err := p.Store.Open(ctx, key)
	if err != nil || p.rate <= 0 {
		return r, err
	}
	return &pacedReader{r, p, ctx}, nil
}

// wait holds a read of n bytes back until the rate allows it, or ctx ends.
func (p *paced) wait(ctx context.Context, n int) {
	p.mu.Lock()
	p.read += int64(n)
	due := p.began.Add(time.Duration(float64(p.read) / float64(p.rate) * float64(time.Second)))
	p.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(due)):
	}
}

type pacedReader struct {
	blob.Reader
	pace *paced
	ctx  context.Context //nolint:containedctx // that of the run that opened it: reads have none
}

func (r *pacedReader) ReadAt(p []byte, off int64) (int, error) {
	r.pace.wait(r.ctx, len(p))
	return r.Reader.ReadAt(p, off)
}

func (r *pacedReader) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	r.pace.wait(r.ctx, n)
	return r.Reader.ReadRange(buf, off, n)
}
