package torture

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// soundOwnership has one partition that went from a, which was paused, to b.
func soundOwnership() *Ownership {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	return &Ownership{
		claims: []*Claim{{Member: "a", From: at(10), Until: at(20)}, {Member: "b", From: at(20)}, {Member: "c", Partition: 1, From: at(15)}},
		commits: []Commit{
			{Member: "a", Offset: 1, Sent: at(11), Done: at(12), OK: true},
			{Member: "a", Offset: 2, Sent: at(13), Done: at(14)},
			{Member: "a", Offset: 3, Sent: at(25), Done: at(26)},
			{Member: "b", Offset: 3, Sent: at(24), Done: at(27), OK: true},
		},
		readings: []Reading{{Offset: -1, Sent: at(10)}, {Offset: 2, Sent: at(21)}, {Offset: 3, Sent: at(28)}},
	}
}

func TestSoundOwnershipPasses(t *testing.T) {
	t.Parallel()
	if got := soundOwnership().Check(); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

func TestEachFaultOfOwnershipIsFound(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*Ownership){
		"double: b": func(o *Ownership) { o.claims[0].Until = o.claims[0].Until.Add(1) },
		"double: c": func(o *Ownership) { o.claims[2].Partition, o.claims[1].Until = 0, time.Unix(30, 0) },
		"fence: a":  func(o *Ownership) { o.commits[2].OK = true },
		"lost:":     func(o *Ownership) { o.readings[2].Offset = 2 },
		"invented:": func(o *Ownership) { o.readings[2].Offset = 4 },
	} {
		o := soundOwnership()
		spoil(o)
		if got := o.Check(); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("found %q, not %q", got, want)
		}
	}
}
