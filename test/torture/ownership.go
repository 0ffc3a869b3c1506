package torture

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Claim is a stretch of time in which a member of a group had a partition for itself: from when it was told so, until it gave
// the partition up, or until it had to take itself for dead, a session after its last sign of life.
type Claim struct {
	Member      string
	Partition   int32
	From, Until time.Time // a zero Until: it never ended
}

// Commit is an offset that a member asked to commit.
type Commit struct {
	Member     string
	Partition  int32
	Offset     int64
	Sent, Done time.Time
	OK         bool // it was acknowledged
}

// Reading is a committed offset as somebody read it; -1: none.
type Reading struct {
	Partition int32
	Offset    int64
	Sent      time.Time
}

// Ownership is who had which partition of a topic in one group, and what was committed. Its methods may be called from any
// goroutine; claims are changed by End alone.
type Ownership struct {
	mu       sync.Mutex
	claims   []*Claim
	commits  []Commit
	readings []Reading
}

// Begin notes that a member has a partition from now on.
func (o *Ownership) Begin(member string, partition int32) *Claim {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := &Claim{Member: member, Partition: partition, From: time.Now()}
	o.claims = append(o.claims, c)
	return c
}

// End notes until when a claim held.
func (o *Ownership) End(c *Claim, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.Until = until
}

// Committed notes what became of a commit.
func (o *Ownership) Committed(c Commit) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.commits = append(o.commits, c)
}

// Read notes a committed offset that was read.
func (o *Ownership) Read(r Reading) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.readings = append(o.readings, r)
}

// Count returns how many claims there were, and how many commits were acknowledged.
func (o *Ownership) Count() (claims, commits int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.commits {
		if c.OK {
			commits++
		}
	}
	return len(o.claims), commits
}

// Check returns what is wrong: partitions with two owners at a time, commits of members after others had taken their place,
// and committed offsets that went back or that nobody committed.
func (o *Ownership) Check() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	claims := map[int32][]*Claim{}
	for _, c := range o.claims {
		claims[c.Partition] = append(claims[c.Partition], c)
	}
	var broken []string
	for p, of := range claims {
		slices.SortStableFunc(of, func(a, b *Claim) int { return a.From.Compare(b.From) })
		for i, b := range of {
			for _, a := range of[:i] {
				if a.Member != b.Member && (a.Until.IsZero() || b.From.Before(a.Until)) {
					broken = append(broken, fmt.Sprintf("double: %s got partition %d %v before %s had lost it", b.Member, p, a.Until.Sub(b.From), a.Member))
				}
			}
		}
	}
	for _, c := range o.commits {
		if by := fencedBy(c, claims[c.Partition]); c.OK && by != nil {
			broken = append(broken, fmt.Sprintf("fence: %s committed %d in partition %d, which %s had got %v before", c.Member, c.Offset, c.Partition, by.Member, c.Sent.Sub(by.From)))
		}
	}
	broken = append(broken, o.checkReadingsLocked()...)
	slices.Sort(broken)
	if len(broken) > shownMax {
		broken = append(broken[:shownMax], fmt.Sprintf("and %d more", len(broken)-shownMax))
	}
	return broken
}

// fencedBy returns the claim of somebody else that came between the last one of a commit's member and the commit.
func fencedBy(c Commit, claims []*Claim) *Claim {
	var other *Claim
	for _, x := range claims {
		switch {
		case x.From.After(c.Sent):
			return other
		case x.Member == c.Member:
			other = nil
		default:
			other = x
		}
	}
	return other
}

func (o *Ownership) checkReadingsLocked() (broken []string) {
	for _, r := range o.readings {
		tried := r.Offset < 0
		for _, c := range o.commits {
			if c.Partition != r.Partition {
				continue
			}
			tried = tried || c.Offset == r.Offset
			if c.OK && c.Offset > r.Offset && c.Done.Before(r.Sent) {
				broken = append(broken, fmt.Sprintf("lost: partition %d has committed offset %d, %s had committed %d %v before", r.Partition, r.Offset, c.Member, c.Offset, r.Sent.Sub(c.Done)))
				break
			}
		}
		if !tried {
			broken = append(broken, fmt.Sprintf("invented: partition %d has committed offset %d, which nobody sent", r.Partition, r.Offset))
		}
	}
	return broken
}
