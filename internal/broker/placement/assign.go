package placement

import (
	"cmp"
	"fmt"
	"slices"
)

// largestFirst sorts shards so that the small ones come last and fill what the large ones left uneven.
func (p *plan) largestFirst(shards []int) {
	slices.SortFunc(shards, func(a, b int) int {
		return cmp.Or(cmp.Compare(p.shards[b].cost, p.shards[a].cost), cmp.Compare(a, b))
	})
}

// assign gives the orphans to the living.
func (p *plan) assign() {
	var orphans []int
	for i := range p.shards {
		if p.shards[i].seat < 0 {
			orphans = append(orphans, i)
		}
	}
	p.largestFirst(orphans)
	for _, i := range orphans {
		k := p.receiver(i, func(int) bool { return true })
		if k < 0 {
			return // nobody may take it, nor any other
		}
		why := "it has no owner"
		if owner := p.shards[i].Owner; owner != None {
			why = fmt.Sprintf("its owner %d is gone", owner)
		}
		p.move(i, k, Orphan, fmt.Sprintf("%s; broker %d is at %s of its capacity", why, p.seats[k].ID, percent(p.seats[k].use())))
	}
}

// drain empties brokers, one after the other, so that the first can be stopped soon.
func (p *plan) drain() {
	for h := range p.seats {
		if !p.seats[h].Draining {
			continue
		}
		leaving := slices.Clone(p.seats[h].shards)
		p.largestFirst(leaving)
		for _, i := range leaving {
			if p.shards[i].Moving {
				continue
			}
			if p.room() <= 0 {
				return
			}
			k := p.receiver(i, func(int) bool { return true })
			if k < 0 {
				return
			}
			p.move(i, k, Drain, fmt.Sprintf("broker %d drains; broker %d is at %s of its capacity", p.seats[h].ID, p.seats[k].ID, percent(p.seats[k].use())))
		}
	}
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
