//go:build clusterchaos && linux

package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/test/torture"
)

// settings are those of brokers under chaos: what happens once a minute happens more often.
func settings() []string {
	return slices.Concat(torture.BrokerArguments(), restless(), []string{"--set", "storage.checkpoint.interval.ms=5000"})
}

func TestClusterKeepsItsPromisesUnderChaos(t *testing.T) {
	c := start(t, 3, settings()...)
	c.length = time.Duration(number(t, "CHAOS_SECONDS", 600)) * time.Second
	l := torture.NewLoad(c.bootstrap(), rand.New(rand.NewPCG(c.rng.Uint64(), 2)))
	if err := l.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Begin(t.Context())
	t.Cleanup(l.Stop)
	done := c.torment(l, c.chosen())
	c.note("no more faults")
	if err := l.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	c.note("drained")
	got := l.Check()
	t.Logf("faults: %s", done)
	for _, line := range got.Lines {
		t.Log(line)
	}
	for _, s := range got.Broken {
		t.Error(s)
	}
	// Of a broker alone that is only killed a cluster does less, since half of the time one or all of it is out of order.
	for _, s := range got.TooFew(int(c.length/time.Second), 0.1) {
		t.Errorf("invalid: too few %s", s)
	}
}

// chosen are the kinds of faults that $CHAOS_FAULTS names, with commas between them, or all.
func (c *nodes) chosen() []kind {
	names := os.Getenv("CHAOS_FAULTS")
	if names == "" {
		return kinds
	}
	var out []kind
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if i < 0 {
			c.t.Fatalf("CHAOS_FAULTS: there is no kind %q", name)
		}
		out = append(out, kinds[i])
	}
	return out
}

// torment does faults of the given kinds for the length of the run, and returns how often each was done, and has bitten where that can be counted. After each fault there is a
// time of peace in which values must be acknowledged again.
func (c *nodes) torment(l *torture.Load, of []kind) string {
	counts, bites := map[string]int{}, map[string]int64{}
	end := time.Now().Add(c.length)
	var bag []int
	for time.Now().Before(end) {
		if len(bag) == 0 {
			bag = c.rng.Perm(len(of))
		}
		k := &of[bag[0]]
		bag = bag[1:]
		c.note("-- %s", k.name)
		before := int64(0)
		if k.bites != nil {
			before = c.sum(k.bites)
		}
		k.do(c, c.all[c.rng.IntN(len(c.all))])
		counts[k.name]++
		if k.bites != nil {
			n := c.sum(k.bites) - before
			bites[k.name] += n
			c.note("it has bitten %d times", n)
		}
		c.alive()
		c.peace(l)
	}
	var out []string
	for _, k := range of {
		if k.bites == nil {
			out = append(out, fmt.Sprintf("%s %d", k.name, counts[k.name]))
		} else {
			out = append(out, fmt.Sprintf("%s %d (bitten %d times)", k.name, counts[k.name], bites[k.name]))
		}
	}
	return strings.Join(out, ", ")
}

// alive makes sure that no broker has ended by itself.
func (c *nodes) alive() {
	for _, b := range c.all {
		if !b.broker.Running() {
			c.t.Errorf("broker %d has ended by itself:\n%s", b.id, b.broker.LogTail())
			c.restart(b)
		}
	}
}

// recoveryMax is how long after the end of a fault values may be without acknowledgement.
const recoveryMax = 30 * time.Second

// peace waits until values are acknowledged and transactions commit again, and then for some more.
func (c *nodes) peace(l *torture.Load) {
	began := time.Now()
	values, committed := l.Acked()
	for {
		c.rest(100 * time.Millisecond)
		v, m := l.Acked()
		if v > values && m > committed {
			break
		}
		if time.Since(began) > recoveryMax {
			c.t.Errorf("%v after the end of a fault: %d values and %d transactions more", recoveryMax, v-values, m-committed)
			break
		}
	}
	c.note("work goes on after %v", time.Since(began))
	c.rest(c.between(0.2, 3))
}
