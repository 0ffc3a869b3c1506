package wal

import (
	"context"
	"sync"
)

// FrameCache keeps frames for scans that want the same ones at about the same time: a broker that takes over many shards of a dead
// one reads each frame once. The zero value is not ready; make it with NewFrameCache. Frames that are shared must not be changed.
type FrameCache struct {
	most int

	mu     sync.Mutex
	frames map[string]*sharedFrame
	order  []string // of arrival
}

// sharedFrame is a frame that is being read, or was.
type sharedFrame struct {
	done  chan struct{}
	frame *ObjectFrame
	err   error
}

// NewFrameCache returns a cache of at most so many frames.
func NewFrameCache(most int) *FrameCache {
	return &FrameCache{most: most, frames: map[string]*sharedFrame{}}
}

// Clear forgets all frames.
func (c *FrameCache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.frames)
	c.order = nil
}

// get returns a frame, read by whoever asks first. Who waited for a failure reads by itself.
func (c *FrameCache) get(ctx context.Context, key string, read func() (*ObjectFrame, error)) (*ObjectFrame, error) {
	c.mu.Lock()
	f, known := c.frames[key]
	if !known {
		f = &sharedFrame{done: make(chan struct{})}
		c.frames[key] = f
		c.order = append(c.order, key)
		if len(c.order) > c.most {
			delete(c.frames, c.order[0])
			c.order = c.order[1:]
		}
	}
	c.mu.Unlock()
	if known {
		select {
		case <-f.done:
			if f.err == nil {
				return f.frame, nil
			}
			return read()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.frame, f.err = read()
	close(f.done)
	if f.err != nil {
		c.mu.Lock()
		if c.frames[key] == f {
			delete(c.frames, key)
		}
		c.mu.Unlock()
	}
	return f.frame, f.err
}
