package model

// assign is the transaction of steps 1: a new owner under the next epoch, the old entry into the history, its end left to the seal.
func (p *protocol) assign(s *state, shard, dest int, epochRead uint8) {
	if p.lacks(EpochKept) {
		epochRead--
	}
	p.changeOwner(s, shard, dest, epochRead+1, untilSealed)
}

func (p *protocol) changeOwner(s *state, shard, dest int, epoch, end uint8) {
	ptr := &s.pointers[shard]
	ptr.history[ptr.entries] = entry{epoch: ptr.epoch, inc: ptr.owner, from: ptr.from, to: end}
	ptr.entries++
	ptr.epoch, ptr.owner, ptr.from = epoch, uint8(dest), 0
	if !p.lacks(CheckpointVersionOnly) {
		ptr.version = 0 // versions count within an epoch
	}
	s.used |= 1 << dest
}

// controllerWrites is the transaction of a controller that read some time ago.
func (p *protocol) controllerWrites(s *state, slot int) {
	a := s.assignments[slot]
	s.assignments[slot] = assignment{}
	ptr := &s.pointers[a.shard]
	same := ptr.epoch == a.epoch && ptr.version == a.version
	if (same || p.lacks(AssignUncompared)) && ptr.entries < maxHistory {
		p.assign(s, int(a.shard), int(a.dest), a.epoch)
	}
}

// takeOverStep is a step of a new owner before it serves.
func (p *protocol) takeOverStep(s *state, st step) {
	i, b := int(st.a), int(st.b)
	inc := &s.incs[i]
	switch st.kind {
	case pointerRead:
		ptr := s.pointers[b]
		inc.owns[b] = ownership{phase: recovering, epoch: ptr.epoch, version: ptr.version, seen: ptr}
	case sealChosen:
		target := &s.incs[b]
		first := p.sealAt(target, int(p.sealFrom(s, i, b)))
		inc.sealing = sealing{active: 1, target: st.b, at: uint8(first), trim: target.trim, compared: inc.sealing.compared}
		if target.objects[first] == seal {
			inc.sealing.placed = 1
		}
	case sealPut:
		p.putSeal(s, &inc.sealing)
	case sealNoted:
		sl := inc.sealing
		target := &s.incs[sl.target]
		open := target.sealedAt == 0 || p.lacks(SealTxnUnconditional)
		if open && (target.trim == sl.trim || p.lacks(SealIgnoresTrim)) {
			target.sealedAt = 1 + sl.at
		}
		inc.sealing = sealing{}
	case recovered:
		p.recover(s, i, b)
	}
}

// sealFrom is where a sealer starts to look for the first gap: not below what may have been deleted.
func (p *protocol) sealFrom(s *state, i, target int) uint8 {
	from := s.incs[target].trim
	for shard := range p.Shards {
		own := &s.incs[i].owns[shard]
		if own.phase != recovering {
			continue
		}
		for _, e := range own.seen.history[:own.seen.entries] {
			if int(e.inc) == target && e.to == untilSealed {
				from = max(from, e.from)
			}
		}
	}
	return from
}

// sealAt is where a seal belongs: the first gap from a seq on.
func (p *protocol) sealAt(target *incarnation, from int) int {
	if p.lacks(SealAtTail) {
		for n := int(target.next); n > from; n-- {
			if target.objects[n-1] == data {
				return n
			}
		}
	}
	return target.firstGap(from)
}

// putSeal is the conditional PUT of a seal. Data under its key means that the log goes on: the next gap is tried.
func (p *protocol) putSeal(s *state, sl *sealing) {
	target := &s.incs[sl.target]
	switch {
	case p.lacks(NoSeals):
		sl.placed = 1
	case target.objects[sl.at] == absent:
		target.objects[sl.at] = seal
		sl.placed = 1
	case target.objects[sl.at] == seal, p.lacks(SealOverData):
		sl.placed = 1
	default:
		sl.at = uint8(p.sealAt(target, int(sl.at)))
	}
}

// recover reads checkpoint and sections of the pointer that the new owner saw. An object that is missing where the log
// must go on tells it that the pointer is no longer the present one: it reads that again, if it still is the owner.
func (p *protocol) recover(s *state, i, shard int) {
	own := &s.incs[i].owns[shard]
	var found [maxOffsets]recordID
	length, problem := p.read(s, shard, &own.seen, false, &found)
	if problem != "" && s.setBack != 0 {
		s.incs[i].dropped = 1 // what the metadata names is gone, and it says so
		return
	}
	if problem != "" && !p.lacks(MissingIsEnd) {
		*own = ownership{}
		return
	}
	*own = ownership{phase: serving, epoch: own.epoch, version: own.version, length: uint8(length), recovered: uint8(length), log: found}
}

// handOverStep is a step of a planned hand-over.
func (p *protocol) handOverStep(s *state, st step) {
	i, shard := int(st.a), int(st.b)
	if st.kind == handOverApplies {
		p.applyHandOver(s, i)
		return
	}
	inc, own := &s.incs[i], &s.incs[i].owns[shard]
	switch st.kind {
	case releaseSent:
		if !p.lacks(NoRelease) {
			inc.send(section{kind: releaseSection, shard: uint8(shard), epoch: own.epoch})
		}
		own.phase, own.end = releasing, inc.next
	case handOverSent:
		end := own.end
		if p.lacks(HandOverWithoutEnd | NoEndButStopped) {
			end = untilGap
		}
		s.handOvers[shard] = handOver{sent: 1, inc: st.a, dest: st.c, end: end, epoch: own.epoch, version: own.version}
		own.phase = handing
		s.moves++
	case handOverGivenUp: // HandOverResumed only
		own.phase, own.end = serving, 0
		s.faults++
	case renewed:
		p.changeOwner(s, shard, i, own.epoch+1, inc.acked)
		ptr := &s.pointers[shard]
		*own = ownership{phase: serving, epoch: ptr.epoch, version: ptr.version, length: own.length, recovered: own.length, log: own.log}
		if p.SetBack { // the new epoch is claimed like another's
			*own = ownership{phase: recovering, epoch: ptr.epoch, version: ptr.version, seen: *ptr}
		}
		s.moves++
	}
}

// applyHandOver is the metadata store's part of it. The old owner learns of it at once, if it still waits: whatever
// the outcome, it has stopped taking records, and the key says who may.
func (p *protocol) applyHandOver(s *state, shard int) {
	h := s.handOvers[shard]
	s.handOvers[shard] = handOver{}
	ptr := &s.pointers[shard]
	if ptr.epoch == h.epoch && ptr.version == h.version && ptr.entries < maxHistory {
		p.changeOwner(s, shard, int(h.dest), h.epoch+1, h.end)
	}
	own := &s.incs[h.inc].owns[shard]
	if own.phase == handing && own.epoch == h.epoch && !p.lacks(HandOverIntakeOpen|HandOverWithoutEnd) {
		if ptr.epoch != h.epoch {
			*own = ownership{}
		} else {
			own.phase, own.version = releasing, ptr.version
		}
	}
}
