package metatest

import (
	"slices"
	"sync"
	"time"
)

// Clock is a meta.Clock that stands still until Advance. The zero value starts at the zero time.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer // sorted by when, those set earlier first
}

type timer struct {
	when time.Time
	f    func()
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc calls f in the Advance that reaches d from now.
func (c *Clock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{when: c.now.Add(d), f: f}
	i := len(c.timers)
	for i > 0 && c.timers[i-1].when.After(t.when) {
		i--
	}
	c.timers = slices.Insert(c.timers, i, t)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.timers, t)
		if i >= 0 {
			c.timers = slices.Delete(c.timers, i, i+1)
		}
		return i >= 0
	}
}

// Advance moves the time by d and returns after everything that was due has run, each at its time.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for len(c.timers) > 0 && !c.timers[0].when.After(end) {
		t := c.timers[0]
		c.timers = c.timers[1:]
		c.now = t.when
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}
