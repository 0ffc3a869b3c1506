package share

// beats tells whether the state of a counts where a and b speak of the same record: the later delivery, or the later
// state of one delivery.
func beats(a, b Batch) bool {
	if a.DeliveryCount != b.DeliveryCount {
		return a.DeliveryCount > b.DeliveryCount
	}
	return a.State >= b.State
}

// merge lays batches over a state, and leaves out what lies before start, unless that is NoOffset. The result is sorted,
// does not overlap, and holds as few batches as can be.
func merge(into, batches []Batch, start int64) []Batch {
	out := into
	for _, b := range batches {
		out = overlay(out, b)
	}
	return tidy(out, start)
}

// overlay lays b over list, which is sorted and does not overlap. list is not changed.
func overlay(list []Batch, b Batch) []Batch {
	out := make([]Batch, 0, len(list)+2)
	put := func(of Batch, first, last int64) {
		if first <= last {
			of.First, of.Last = first, last
			out = append(out, of)
		}
	}
	rest := b.First // what of b is not placed yet begins here
	for _, x := range list {
		if x.Last < b.First || x.First > b.Last {
			if x.First > b.Last {
				put(b, rest, b.Last)
				rest = b.Last + 1
			}
			out = append(out, x)
			continue
		}
		put(x, x.First, b.First-1)
		put(b, rest, x.First-1)
		winner := x
		if beats(b, x) {
			winner = b
		}
		put(winner, max(x.First, b.First), min(x.Last, b.Last))
		put(x, b.Last+1, x.Last)
		rest = max(rest, x.Last+1)
	}
	put(b, rest, b.Last)
	return out
}

// tidy cuts what lies before start and joins neighbours that are alike.
func tidy(list []Batch, start int64) []Batch {
	var out []Batch
	for _, b := range list {
		if start != NoOffset {
			b.First = max(b.First, start)
		}
		if b.First > b.Last {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Last+1 == b.First && out[n-1].State == b.State && out[n-1].DeliveryCount == b.DeliveryCount {
			out[n-1].Last = b.Last
			continue
		}
		out = append(out, b)
	}
	return out
}
