package model

// take carries out a step that steps listed. The answer is empty, or says which invariant the step itself broke.
func (p *protocol) take(s *state, st step) violation {
	a, b, c := int(st.a), int(st.b), int(st.c)
	switch st.kind {
	case produce:
		p.produce(s, a, b)
	case storeApplies:
		inc := &s.incs[a]
		if inc.puts[b] = putRefused; inc.create(b) {
			inc.puts[b] = putStored
		}
	case strayApplies:
		s.incs[a].stray &^= 1 << b
		s.incs[a].create(b)
	case answerArrives:
		return p.answer(s, a, b)
	case answerLost:
		s.incs[a].puts[b] = putSent
		s.faults++
	case putDoubled:
		s.incs[a].stray |= 1 << b
		s.faults++
	case takeOver:
		ptr := &s.pointers[a]
		p.assign(s, a, b, ptr.epoch)
		s.moves++
	case controllerReads:
		ptr := &s.pointers[a]
		s.assignments[c] = assignment{sent: 1, shard: st.a, dest: st.b, epoch: ptr.epoch, version: ptr.version}
		s.moves++
	case controllerWrites:
		p.controllerWrites(s, a)
	case pointerRead, sealChosen, sealPut, sealNoted, recovered:
		p.takeOverStep(s, st)
	case releaseSent, handOverSent, handOverApplies, handOverGivenUp, renewed:
		p.handOverStep(s, st)
	case checkpointPrepared:
		p.prepareCheckpoint(s, a, b, c == 1)
	case checkpointApplies:
		p.publish(s, b, &s.incs[a].owns[b].publishing)
	case checkpointGivenUp:
		own := &s.incs[a].owns[b]
		if own.publishing.gone = 0; p.lacks(CheckpointAbandoned) {
			own.publishing.gone = 1
		}
		s.checkpoints[b], own.publishing = own.publishing, checkpoint{}
		s.faults++
	case lateCheckpoint:
		p.publish(s, a, &s.checkpoints[a])
	case trimComputed:
		p.computeTrim(s, a)
	case trimNoted:
		p.noteTrim(&s.incs[a])
	case objectDeleted:
		s.incs[a].objects[b] = absent
	case closedUnsealed:
		s.incs[a].dropped = 1
		s.incs[a].sealedAt = 1 + s.incs[a].acked
	default:
		p.setBackStep(s, st)
	}
	return ""
}

// create is the conditional PUT as the store sees it.
func (i *incarnation) create(n int) bool {
	if i.objects[n] != absent {
		return false
	}
	i.objects[n] = data
	return true
}

// send begins the PUT of the next seq.
func (i *incarnation) send(content section) {
	i.sections[i.next] = content
	i.puts[i.next] = putSent
	i.next++
}

func (p *protocol) produce(s *state, i, shard int) {
	inc, own := &s.incs[i], &s.incs[i].owns[shard]
	own.log[own.length] = recordOf(i, int(inc.next))
	inc.send(section{kind: recordSection, shard: uint8(shard), epoch: own.epoch, offset: own.length})
	own.length++
	s.produces++
}

// answer is what an incarnation makes of the answer to a PUT. A 412 is judged by the object.
func (p *protocol) answer(s *state, i, n int) violation {
	inc := &s.incs[i]
	if inc.puts[n] == putRefused {
		switch {
		case p.lacks(RefusedContinues):
			p.giveUp(inc, n)
			return p.acknowledge(s, i)
		case p.lacks(RefusedIsSuccess), inc.objects[n] == data:
		case inc.objects[n] == seal:
			inc.dropped = 1
			return ""
		case p.lacks(GoneIsSuccess):
		default: // gone since: nothing is known yet, so the same PUT again
			inc.puts[n] = putSent
			return ""
		}
	}
	inc.puts[n] = putDone
	return p.acknowledge(s, i)
}

// giveUp is RefusedContinues: the offsets of the PUT are given to the next records.
func (p *protocol) giveUp(inc *incarnation, n int) {
	inc.puts[n] = putSkipped
	sec := inc.sections[n]
	own := &inc.owns[sec.shard]
	if sec.kind == recordSection && own.length == sec.offset+1 {
		own.length--
		own.log[own.length] = 0
	}
}

// acknowledge tells producers of everything that is durable without a gap. Doing so at once is the hardest case:
// what may be acknowledged now may be so for ever.
func (p *protocol) acknowledge(s *state, i int) violation {
	inc := &s.incs[i]
	for inc.acked < inc.next && (inc.puts[inc.acked] == putDone || inc.puts[inc.acked] == putSkipped) {
		inc.acked++
	}
	for n := range int(inc.next) {
		if inc.puts[n] != putDone || inc.ackedSeqs&(1<<n) != 0 || n >= int(inc.acked) && !p.lacks(AckWithGaps) {
			continue
		}
		inc.ackedSeqs |= 1 << n
		sec := inc.sections[n]
		if sec.kind != recordSection {
			continue
		}
		told := &s.acked[sec.shard][sec.offset]
		if *told != 0 && *told != recordOf(i, n) {
			return "I2: two records were acknowledged with one offset"
		}
		*told = recordOf(i, n)
	}
	return ""
}
