package model

// stepKind is what a step does. The comment tells the operands: i an incarnation, s a shard, n a seq.
type stepKind uint8

const (
	produce            stepKind = iota // i, s
	storeApplies                       // i, n: the store carries out the PUT
	strayApplies                       // i, n: and a copy of it
	answerArrives                      // i, n
	answerLost                         // i, n
	putDoubled                         // i, n
	takeOver                           // s, i: step 1
	controllerReads                    // s, i, slot
	controllerWrites                   // slot
	pointerRead                        // i, s
	sealChosen                         // i, target
	sealPut                            // i: step 2
	sealNoted                          // i: step 3
	recovered                          // i, s: step 4
	releaseSent                        // i, s
	handOverSent                       // i, s, dest
	handOverApplies                    // s
	handOverGivenUp                    // i, s
	renewed                            // i, s
	checkpointPrepared                 // i, s, 1: all records cut into L1
	checkpointApplies                  // i, s
	checkpointGivenUp                  // i, s
	lateCheckpoint                     // s
	trimComputed                       // i
	trimNoted                          // i
	objectDeleted                      // i, n
	closedUnsealed                     // i
	snapshotTaken                      //
	metadataSetBack                    // 1: manifests that were replaced since the snapshot are gone
	claimWritten                       // i, s
	claimsCompared                     // i, s
	trimCompared                       // i, target
	trimStamped                        // i
	stepKinds
)

// step is one thing that happens.
type step struct {
	kind    stepKind
	a, b, c uint8
}

func at(kind stepKind, operands ...int) step {
	st := step{kind: kind}
	for i, to := range []*uint8{&st.a, &st.b, &st.c}[:len(operands)] {
		*to = uint8(operands[i])
	}
	return st
}

// steps appends to list what may happen in s.
func (p *protocol) steps(s *state, list []step) []step {
	for i := range p.Incarnations {
		list = p.networkSteps(s, i, list)
		list = p.garbageSteps(s, i, list)
		switch {
		case s.incs[i].dropped != 0:
		case s.incs[i].cut != 0:
			list = p.cutOffSteps(s, i, list)
		default:
			list = p.brokerSteps(s, i, list)
		}
	}
	list = p.setBackSteps(s, list)
	for shard := range p.Shards {
		list = p.metadataSteps(s, shard, list)
	}
	return list
}

// networkSteps are those of the PUTs of an incarnation. They go on when it is dead.
func (p *protocol) networkSteps(s *state, i int, list []step) []step {
	inc := &s.incs[i]
	for n := range int(inc.next) {
		switch inc.puts[n] {
		case putSent:
			list = append(list, at(storeApplies, i, n))
			if s.faults < uint8(p.Faults) && inc.stray&(1<<n) == 0 {
				list = append(list, at(putDoubled, i, n))
			}
		case putStored, putRefused:
			if inc.dropped == 0 {
				list = append(list, at(answerArrives, i, n))
				if s.faults < uint8(p.Faults) {
					list = append(list, at(answerLost, i, n))
				}
			}
		}
		if inc.stray&(1<<n) != 0 {
			list = append(list, at(strayApplies, i, n))
		}
	}
	return list
}

// brokerSteps are those that a process takes by itself.
func (p *protocol) brokerSteps(s *state, i int, list []step) []step {
	inc := &s.incs[i]
	room := int(inc.next) < p.Seqs && int(inc.next-inc.acked) < p.Window
	for shard := range p.Shards {
		own, ptr := &inc.owns[shard], &s.pointers[shard]
		if room && p.takesRecords(own.phase) && s.produces < uint8(p.Produces) && own.length < maxOffsets {
			list = append(list, at(produce, i, shard))
		}
		if int(ptr.owner) == i && (own.epoch != ptr.epoch || own.phase == idle) {
			list = append(list, at(pointerRead, i, shard))
		}
		switch own.phase {
		case serving:
			if room && s.moves < uint8(p.Moves) && p.Incarnations > 1 {
				list = append(list, at(releaseSent, i, shard))
			}
		case releasing, handing:
			list = p.handOverSteps(s, i, shard, list)
		case recovering:
			list = p.recoverySteps(s, i, shard, list)
		}
		list = p.checkpointSteps(s, i, shard, list)
	}
	switch sl := &inc.sealing; {
	case sl.active != 0 && sl.placed == 0:
		list = append(list, at(sealPut, i))
	case sl.active != 0 && p.comparesTrim(sl):
		list = append(list, at(trimCompared, i, int(sl.target)))
	case sl.active != 0:
		list = append(list, at(sealNoted, i))
	case p.lacks(SealByAnyone):
		for target := range p.Incarnations {
			if target != i && s.used&(1<<target) != 0 && s.incs[target].sealedAt == 0 {
				list = append(list, at(sealChosen, i, target))
			}
		}
	}
	if p.lacks(CloseWithoutSeal) && inc.sealedAt == 0 && i == 0 {
		list = append(list, at(closedUnsealed, i))
	}
	return list
}

func (p *protocol) takesRecords(ph phase) bool {
	return ph == serving || (ph == releasing || ph == handing) && p.lacks(HandOverIntakeOpen|HandOverWithoutEnd)
}

func (p *protocol) handOverSteps(s *state, i, shard int, list []step) []step {
	inc, own, ptr := &s.incs[i], &s.incs[i].owns[shard], &s.pointers[shard]
	durable := inc.acked >= own.end || p.lacks(HandOverEarly)
	if own.phase == releasing && durable && s.handOvers[shard].sent == 0 && s.moves < uint8(p.Moves) {
		for dest := range p.Incarnations {
			if dest != i && p.mayOwn(s, dest) {
				list = append(list, at(handOverSent, i, shard, dest))
			}
		}
	}
	if own.phase == handing && s.handOvers[shard].sent != 0 && s.faults < uint8(p.Faults) && p.lacks(HandOverResumed) {
		list = append(list, at(handOverGivenUp, i, shard))
	}
	// The way back: a new epoch, once the sections of the old one are durable, by a transaction of the owner's own. It
	// needs intake to have stopped as the hand-over does, and would be the shorter schedule.
	if p.lacks(HandOverIntakeOpen | HandOverWithoutEnd) {
		return list
	}
	if inc.acked >= own.end && int(ptr.owner) == i && ptr.epoch == own.epoch && ptr.version == own.version &&
		s.moves < uint8(p.Moves) && ptr.entries < maxHistory {
		list = append(list, at(renewed, i, shard))
	}
	return list
}

func (p *protocol) recoverySteps(s *state, i, shard int, list []step) []step {
	own := &s.incs[i].owns[shard]
	resolved := true
	for _, e := range own.seen.history[:own.seen.entries] {
		if e.to != untilSealed || s.incs[e.inc].sealedAt != 0 {
			continue
		}
		resolved = false
		switch sl := &s.incs[i].sealing; {
		case sl.active != 0:
		case p.lacks(TrimLookedBefore) && sl.compared == 0:
			list = append(list, at(trimCompared, i, int(e.inc)))
		default:
			list = append(list, at(sealChosen, i, int(e.inc)))
		}
		break
	}
	if resolved || p.lacks(ReadBeforeSeal) {
		list = p.claimSteps(s, i, shard, list)
	}
	return list
}

func (p *protocol) checkpointSteps(s *state, i, shard int, list []step) []step {
	own := &s.incs[i].owns[shard]
	if own.publishing.sent != 0 {
		list = append(list, at(checkpointApplies, i, shard))
		if s.faults < uint8(p.Faults) && s.checkpoints[shard].sent == 0 {
			list = append(list, at(checkpointGivenUp, i, shard))
		}
	} else if own.phase == serving && s.published < uint8(p.Checkpoints) {
		list = append(list, at(checkpointPrepared, i, shard, 0), at(checkpointPrepared, i, shard, 1))
	}
	return list
}

// metadataSteps are those of controllers, and of transactions that are on their way.
func (p *protocol) metadataSteps(s *state, shard int, list []step) []step {
	if s.handOvers[shard].sent != 0 {
		list = append(list, at(handOverApplies, shard))
	}
	if s.checkpoints[shard].sent != 0 {
		list = append(list, at(lateCheckpoint, shard))
	}
	for slot := range s.assignments {
		if a := &s.assignments[slot]; a.sent != 0 && int(a.shard) == shard {
			list = append(list, at(controllerWrites, slot))
		}
	}
	if s.moves >= uint8(p.Moves) || s.pointers[shard].entries >= maxHistory {
		return list
	}
	for dest := range p.Incarnations {
		if !p.mayOwn(s, dest) || int(s.pointers[shard].owner) == dest {
			continue
		}
		list = append(list, at(takeOver, shard, dest))
		if !p.StaleController {
			continue
		}
		for slot := range s.assignments {
			if s.assignments[slot].sent == 0 {
				list = append(list, at(controllerReads, shard, dest, slot))
				break
			}
		}
	}
	return list
}

// mayOwn says whether a shard may be given to an incarnation. Of those that have never owned any, only the first is
// tried: they are alike.
func (p *protocol) mayOwn(s *state, i int) bool {
	if s.incs[i].dropped != 0 || s.incs[i].sealedAt != 0 || s.incs[i].cut != 0 || s.used&(1<<i) == 0 && p.refusesToBegin(s) {
		return false
	}
	return s.used&(1<<i) != 0 || s.used&(1<<(i-1)) != 0
}

func (p *protocol) garbageSteps(s *state, i int, list []step) []step {
	inc := &s.incs[i]
	if !p.collects(s) {
		return p.lateDeletions(s, i, list)
	}
	if inc.trimWanted != 0 && !p.lacks(TrimNotRecorded) {
		list = append(list, at(trimNoted, i))
	} else if p.trimOf(s, i) > int(max(inc.trim, inc.trimWanted)) {
		list = append(list, at(trimComputed, i))
	}
	for n := range maxSeqs + 1 {
		if p.deletable(s, i, n) {
			list = append(list, at(objectDeleted, i, n))
		}
	}
	return p.lateDeletions(s, i, list)
}
