package model

// The metadata store is lost and made anew from a snapshot (docs/design/0032). Whoever lived before reaches it no more, but reaches the bucket, and may go on there: nobody
// is known to be stopped. Stamps in the bucket, each written after the transaction that it tells of and before anything rests on it, tell those who begin
// afterwards that the metadata is older than the bucket. What they do then is to end.
//
// That is not enough against who is two changes of an owner ahead of the snapshot, without a claim of either, and goes on later than its successors have begun: brokers
// are to be stopped before the metadata is replaced.
//
// The incarnations' numbers are given out once, as if stamps of births never failed: a number that is given out twice is not modelled.

// setBackSteps are the snapshot, and the moment when it takes the place of the metadata.
func (p *protocol) setBackSteps(s *state, list []step) []step {
	if !p.SetBack || s.setBack != 0 {
		return list
	}
	if s.snapshot.taken == 0 {
		return append(list, at(snapshotTaken))
	}
	list = append(list, at(metadataSetBack, 0))
	for shard := range p.Shards {
		if n := s.snapshot.manifests[shard]; n > 0 && n != s.manifests[shard] {
			return append(list, at(metadataSetBack, 1))
		}
	}
	return list
}

// cutOffSteps are those of an incarnation that does not reach the metadata any more.
func (p *protocol) cutOffSteps(s *state, i int, list []step) []step {
	inc := &s.incs[i]
	room := int(inc.next) < p.Seqs && int(inc.next-inc.acked) < p.Window
	for shard := range p.Shards {
		own := &inc.owns[shard]
		if room && own.phase == serving && s.produces < uint8(p.Produces) && own.length < maxOffsets {
			list = append(list, at(produce, i, shard))
		}
		if own.phase == recovering && p.resolved(s, own) {
			list = p.claimSteps(s, i, shard, list)
		}
	}
	return list
}

// resolved says whether the ends of all tenures of the pointer that was read are known.
func (p *protocol) resolved(s *state, own *ownership) bool {
	for _, e := range own.seen.history[:own.seen.entries] {
		if e.to == untilSealed && s.incs[e.inc].sealedAt == 0 {
			return false
		}
	}
	return true
}

// claimSteps are those between the last seal and serving: the claim is written, claims of others are looked for, the log is read.
func (p *protocol) claimSteps(s *state, i, shard int, list []step) []step {
	own := &s.incs[i].owns[shard]
	written, looked := own.claimed&1 != 0, own.claimed&2 != 0
	switch {
	case !p.SetBack || p.lacks(StampsIgnored):
		return append(list, at(recovered, i, shard))
	case !looked && !p.lacks(ClaimsUncompared):
		return append(list, at(claimsCompared, i, shard))
	case !written:
		return append(list, at(claimWritten, i, shard))
	}
	return append(list, at(recovered, i, shard))
}

// comparesTrim says whether a sealer still has to look for a stamp of the trim.
func (p *protocol) comparesTrim(sl *sealing) bool {
	return p.SetBack && sl.compared == 0 && !p.lacks(StampsIgnored|TrimUncompared)
}

// refusesToBegin says whether a new incarnation finds that a shard was taken in an epoch which its pointer does not know, or that what a pointer names is gone.
func (p *protocol) refusesToBegin(s *state) bool {
	if s.setBack == 0 || p.lacks(StampsIgnored|BeginUncompared) {
		return false
	}
	for shard := range p.Shards {
		if s.claims[shard].epoch > s.pointers[shard].epoch || s.pointers[shard].gone != 0 {
			return true
		}
	}
	return false
}

// collects says whether anybody may compute trims and delete: each shard is owned by who has compared.
func (p *protocol) collects(s *state) bool {
	if s.setBack == 0 || p.lacks(CollectsUnowned) {
		return true
	}
	for shard := range p.Shards {
		if s.incs[s.pointers[shard].owner].cut != 0 {
			return false
		}
	}
	return true
}

// lateDeletions are the stamp of a trim, and deletions by it: whoever noted the trim may have been slow, and the metadata another since.
func (p *protocol) lateDeletions(s *state, i int, list []step) []step {
	inc := &s.incs[i]
	if !p.SetBack {
		return list
	}
	if max(inc.trim, inc.trimLate) > inc.trimStamp {
		list = append(list, at(trimStamped, i))
	}
	for n := int(inc.trim); n < int(inc.trimStamp); n++ {
		if inc.objects[n] == data {
			list = append(list, at(objectDeleted, i, n))
		}
	}
	return list
}

// setBackStep is a step that has to do with metadata of before.
func (p *protocol) setBackStep(s *state, st step) {
	i, shard := int(st.a), int(st.b)
	inc := &s.incs[i]
	switch st.kind {
	case snapshotTaken:
		s.snapshot = saved{taken: 1, pointers: s.pointers, manifests: s.manifests}
		for n := range s.incs {
			s.snapshot.sealedAt[n], s.snapshot.trim[n] = s.incs[n].sealedAt, s.incs[n].trim
		}
	case metadataSetBack:
		p.replaceMetadata(s, st.a == 1)
	case claimWritten:
		p.writeClaim(s, i, shard)
	case claimsCompared:
		own := &inc.owns[shard]
		own.claimed |= 2
		top := s.claims[shard]
		if top.epoch > own.epoch || top.epoch == own.epoch && top.by != uint8(1+i) && !p.lacks(ClaimShared) {
			inc.dropped = 1
		}
	case trimCompared:
		inc.sealing.compared = 1
		if target := &s.incs[st.b]; target.trimStamp > target.trim {
			inc.dropped = 1
		}
	case trimStamped:
		inc.trimStamp, inc.trimLate = max(inc.trim, inc.trimLate), 0
	}
}

// writeClaim is the conditional PUT of a claim. Only the highest is kept in mind: a lower one changes nothing.
func (p *protocol) writeClaim(s *state, i, shard int) {
	own, top := &s.incs[i].owns[shard], &s.claims[shard]
	own.claimed |= 1
	switch {
	case own.epoch > top.epoch:
		*top = claim{own.epoch, uint8(1 + i)}
	case own.epoch == top.epoch && top.by != uint8(1+i) && !p.lacks(ClaimShared):
		s.incs[i].dropped = 1
	}
}

// replaceMetadata puts the snapshot in the place of the metadata. What was on its way to the old store never arrives at the new one: it compares revisions.
func (p *protocol) replaceMetadata(s *state, manifestsGone bool) {
	was := s.snapshot
	for shard := range p.Shards {
		s.pointers[shard] = was.pointers[shard]
		if manifestsGone && was.manifests[shard] > 0 && was.manifests[shard] != s.manifests[shard] {
			s.pointers[shard].gone = 1
		}
	}
	s.handOvers, s.checkpoints, s.assignments = [maxShards]handOver{}, [maxShards]checkpoint{}, [2]assignment{}
	for i := range s.incs {
		inc := &s.incs[i]
		if s.used&(1<<i) == 0 {
			continue
		}
		inc.cut, inc.trimWanted, inc.sealing = 1, 0, sealing{}
		if p.Stopped {
			inc.dropped = 1
		}
		if inc.trim > inc.trimStamp && !p.Stopped {
			inc.trimLate = inc.trim
		}
		inc.sealedAt, inc.trim = was.sealedAt[i], was.trim[i]
		for shard := range inc.owns {
			inc.owns[shard].publishing = checkpoint{}
		}
	}
	s.snapshot, s.manifests, s.setBack = saved{}, [maxShards]uint8{}, 1
}

// checkServing looks at those who serve by the metadata that was set back: all that was acknowledged by anybody is in what they have.
func (p *protocol) checkServing(s *state) violation {
	for i := range p.Incarnations {
		inc := &s.incs[i]
		if inc.cut != 0 || inc.dropped != 0 {
			continue
		}
		for shard := range p.Shards {
			own := &inc.owns[shard]
			if own.phase != serving || own.epoch != s.pointers[shard].epoch {
				continue
			}
			for offset, told := range s.acked[shard] {
				if told != 0 && (offset >= int(own.length) || own.log[offset] != told) {
					return lostRecord
				}
			}
		}
	}
	return p.checkWriters(s)
}
