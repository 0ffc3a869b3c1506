package fault

import (
	"fmt"
	"strings"
	"testing"
)

// goodHistory has two partitions with ten records each, all acknowledged but the last of each, seen by a tail up to
// offset 6, and two readings, the first of the first seven.
func goodHistory() (*History, []Reading) {
	h := NewHistory()
	full := Reading{HighWatermarks: map[int32]int64{0: 10, 1: 10}, Values: map[Place][]string{}, MustHave: map[Place]string{}}
	half := Reading{HighWatermarks: map[int32]int64{0: 7, 1: 7}, Values: map[Place][]string{}, MustHave: map[Place]string{}}
	for part := range int32(2) {
		for off := range int64(10) {
			p, v := Place{part, off}, fmt.Sprintf("v%d-%d", part, off)
			h.Sent(v)
			full.Values[p] = []string{v}
			if off < 9 {
				h.Acked(p, v)
				full.MustHave[p] = v
			}
			if off < 7 {
				h.Saw("tail", p, v)
				half.Values[p], half.MustHave[p] = []string{v}, v
			}
		}
		h.Sent(fmt.Sprintf("lost%d", part)) // never acknowledged, never stored: that is allowed
	}
	return h, []Reading{half, full}
}

func TestCheckAcceptsAGoodHistory(t *testing.T) {
	t.Parallel()
	h, rs := goodHistory()
	for _, r := range rs {
		h.Add(r)
	}
	if broken := h.Check(); len(broken) > 0 {
		t.Errorf("broken: %q", broken)
	}
}

func TestCheckFindsEachKindOfDamage(t *testing.T) {
	t.Parallel()
	at := func(off int64) Place { return Place{1, off} }
	for name, c := range map[string]struct {
		damage func(h *History, half, full *Reading)
		want   string
	}{
		"acknowledged value lost at the end": {func(_ *History, _, full *Reading) {
			delete(full.Values, at(9))
			delete(full.Values, at(8))
			full.HighWatermarks[1] = 8
		}, "was acknowledged at {1 8}"},
		"acknowledged value moved": {func(_ *History, _, full *Reading) {
			full.Values[at(7)], full.Values[at(8)] = full.Values[at(8)], full.Values[at(7)]
		}, "was acknowledged at {1 7}"},
		"value stored twice": {func(h *History, _, full *Reading) {
			full.Values[at(9)] = []string{"v1-3"}
		}, `"v1-3" is at {1 3} and at {1 9}`},
		"unacknowledged value stored twice in two partitions": {func(_ *History, _, full *Reading) {
			full.Values[Place{0, 10}], full.Values[at(10)] = []string{"lost0"}, []string{"lost0"}
			full.HighWatermarks[0], full.HighWatermarks[1] = 11, 11
		}, `"lost0" is at {0 10} and at {1 10}`},
		"gap": {func(_ *History, _, full *Reading) {
			delete(full.Values, at(9))
		}, "offset 9 of partition 1 is missing"},
		"offset given twice": {func(_ *History, _, full *Reading) {
			full.Values[at(9)] = []string{"v1-9", "lost1"}
		}, "was read 2 times"},
		"record above the high watermark": {func(_ *History, _, full *Reading) {
			full.HighWatermarks[1] = 9
		}, "outside the high watermark"},
		"high watermark fell": {func(_ *History, half, _ *Reading) {
			half.HighWatermarks[1] = 12
		}, "fell from 12 to 10"},
		"partition gone": {func(_ *History, _, full *Reading) {
			delete(full.HighWatermarks, 1)
		}, "partition 1 is gone"},
		"content changed between readings": {func(h *History, half, _ *Reading) {
			h.Sent("other")
			half.Values[at(6)], half.MustHave = []string{"other"}, nil
			h.seen = nil
		}, `{1 6} held "other" before and "v1-6" now`},
		"a consumer saw what a crash took back": {func(h *History, _, full *Reading) {
			h.Saw("tail", at(7), "v1-9")
		}, `{1 7} held "v1-9" before`},
		"a consumer skipped an offset": {func(h *History, _, _ *Reading) {
			h.Saw("tail", at(9), "v1-9")
		}, "expected offset 7 of partition 1 and got 9"},
		"two acknowledgements for one offset": {func(h *History, _, _ *Reading) {
			h.Acked(at(3), "lost1")
		}, "was acknowledged for"},
		"value from nowhere": {func(_ *History, _, full *Reading) {
			full.Values[at(9)] = []string{"stale"}
		}, "was never sent"},
		"earlier content lost": {func(_ *History, _, full *Reading) {
			delete(full.Values, at(2))
			full.MustHave = nil
		}, `{1 2} held "v1-2" before and nothing now`},
	} {
		h, rs := goodHistory()
		c.damage(h, &rs[0], &rs[1])
		for _, r := range rs {
			h.Add(r)
		}
		if got := strings.Join(h.Check(), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q in it", name, got, c.want)
		}
	}
}
