package model

// prepareCheckpoint writes the objects of a checkpoint of everything that is durable, under names of their own, and
// sends the transaction that will name them.
func (p *protocol) prepareCheckpoint(s *state, i, shard int, cutAll bool) {
	inc, own := &s.incs[i], &s.incs[i].owns[shard]
	from := inc.acked
	if p.lacks(CheckpointAhead) {
		from = inc.next
	}
	// What was recovered is durable, whoever wrote it: PUTs of this very incarnation may be among it, from an earlier
	// epoch, of which it has no answer yet.
	length := int(own.recovered)
	if p.lacks(CheckpointForgets) {
		length = 0
	}
	for length < int(own.length) {
		if by, seq := own.log[length].object(); by == i && seq >= int(from) {
			break
		}
		length++
	}
	ck := checkpoint{sent: 1, inc: uint8(i), epoch: own.epoch, version: own.version, from: from, length: uint8(length)}
	copy(ck.log[:], own.log[:length])
	if ck.cut = s.pointers[shard].cut; cutAll {
		ck.cut = uint8(length)
	}
	own.publishing = ck
	s.published++
}

// publish moves the pointer to a checkpoint, if nothing has moved it since.
func (p *protocol) publish(s *state, shard int, from *checkpoint) {
	ck := *from
	*from = checkpoint{}
	ptr := &s.pointers[shard]
	epoch := ptr.epoch == ck.epoch || p.lacks(CheckpointUncompared|CheckpointVersionOnly)
	version := ptr.version == ck.version || p.lacks(CheckpointUncompared|CheckpointEpochOnly)
	if epoch && version {
		if p.SetBack {
			s.manifests[shard]++
		}
		*ptr = pointer{
			epoch: ptr.epoch, version: ptr.version + 1, owner: ptr.owner, from: ck.from, gone: ck.gone,
			length: ck.length, cut: ck.cut, log: ck.log,
		}
	}
	// The owner learns the version: by the answer, or by looking, since only the present epoch is of use to it.
	if own := &s.incs[ck.inc].owns[shard]; own.epoch == ptr.epoch {
		own.version = ptr.version
	}
}

// trimOf is how far the objects of an incarnation are needed by no shard: those below the answer are not. Of a live
// incarnation only that itself asks, and goes no further than what it knows to be durable.
func (p *protocol) trimOf(s *state, i int) int {
	inc := &s.incs[i]
	if (inc.dropped != 0 || inc.cut != 0) && inc.sealedAt == 0 {
		return 0
	}
	to := p.tailOf(inc)
	if p.lacks(TrimToTail) {
		to = maxSeqs + 1
	}
	for shard := range p.Shards {
		if p.lacks(TrimByOneShard) && shard > 0 {
			break
		}
		to = min(to, p.neededFrom(s, i, shard))
	}
	return to
}

// tailOf is where the objects end that a trim may reach: the seal, or what the live incarnation knows to be durable.
func (p *protocol) tailOf(inc *incarnation) int {
	if inc.sealedAt != 0 {
		return int(inc.sealedAt) - 1
	}
	return int(inc.acked)
}

// neededFrom is the lowest seq of an incarnation that a shard's pointer needs, as far as it can tell.
func (p *protocol) neededFrom(s *state, i, shard int) int {
	ptr := &s.pointers[shard]
	lowest := maxSeqs + 1
	if int(ptr.owner) == i {
		lowest = int(ptr.from)
	}
	for _, e := range ptr.history[:ptr.entries] {
		if int(e.inc) == i && !p.lacks(TrimIgnoresHistory) {
			lowest = min(lowest, int(e.from))
		}
	}
	for _, r := range ptr.log[ptr.cut:max(ptr.cut, ptr.length)] {
		if by, seq := r.object(); by == i && !p.lacks(TrimByCheckpoint) {
			lowest = min(lowest, seq)
		}
	}
	return lowest
}

// computeTrim is a deleter's reading of the pointers.
func (p *protocol) computeTrim(s *state, i int) {
	inc := &s.incs[i]
	to := uint8(p.trimOf(s, i))
	if inc.trimWanted = to; !p.StaleGC && !p.lacks(TrimNotRecorded|TrimToTail) {
		p.noteTrim(inc)
	}
}

// noteTrim is the transaction that moves the trim of inc/<i> forward.
func (p *protocol) noteTrim(inc *incarnation) {
	to := inc.trimWanted
	if p.lacks(TrimToTail) {
		to = min(to, uint8(p.tailOf(inc)))
	}
	inc.trim, inc.trimWanted = max(inc.trim, to), 0
}

// deletable says whether anybody may delete an object now, without asking again. Seals never are.
func (p *protocol) deletable(s *state, i, n int) bool {
	inc := &s.incs[i]
	sealedAt := int(inc.sealedAt) - 1
	switch inc.objects[n] {
	case data:
		trim := inc.trim
		if p.SetBack { // the stamp comes before the deletion
			trim = min(trim, inc.trimStamp)
		}
		return n < int(trim) || sealedAt >= 0 && n > sealedAt || p.lacks(DeleteByAge) && n < int(inc.acked) ||
			p.lacks(TrimNotRecorded) && n < int(inc.trimWanted)
	case seal:
		// As if it were an object of the log that is no longer needed: no pointer names the incarnation.
		return p.lacks(SealsDeleted) && n == sealedAt && n <= int(inc.trim) && p.named(s, i) == 0
	}
	return false
}

// named counts the shards whose pointer names an incarnation.
func (p *protocol) named(s *state, i int) int {
	n := 0
	for shard := range p.Shards {
		if p.neededFrom(s, i, shard) <= maxSeqs {
			n++
		}
	}
	return n
}
