package model

// violation says which invariant does not hold, or nothing. The ids are those of docs/design/0018-fencing-model.md.
type violation string

const (
	lostRecord   violation = "I1: an acknowledged record is not in the log"
	twoContents  violation = "I2: two sections of the log have one offset"
	offsetGap    violation = "I3: a section of the log does not follow the one before"
	twoOwners    violation = "I3: two incarnations wrote sections of one epoch"
	ackAfterSeal violation = "I4: a PUT at or above the seal was acknowledged"
	missing      violation = "I7: an object that the log needs is gone"
)

// check looks at one state. The log that it reads for each shard is the one that a successor would find if it sealed now,
// so that every state is one in which a recovery is tried (I13).
//
// Once the metadata was set back the pointers may lead to less than there is. What counts then is what those have read who serve by them.
func (p *protocol) check(s *state) violation {
	if s.setBack != 0 {
		return p.checkServing(s)
	}
	for shard := range p.Shards {
		var log [maxOffsets]recordID
		length, problem := p.read(s, shard, &s.pointers[shard], true, &log)
		if problem != "" {
			return problem
		}
		for offset, told := range s.acked[shard] {
			if told != 0 && (offset >= length || log[offset] != told) {
				return lostRecord
			}
		}
	}
	return p.checkWriters(s)
}

func (p *protocol) checkWriters(s *state) violation {
	var owner [maxShards][32]uint8
	for i := range p.Incarnations {
		inc := &s.incs[i]
		if inc.sealedAt != 0 && inc.ackedSeqs>>(inc.sealedAt-1) != 0 {
			return ackAfterSeal
		}
		for _, sec := range inc.sections[:inc.next] {
			by := &owner[sec.shard][sec.epoch]
			if *by != 0 && *by != uint8(i+1) {
				return twoOwners
			}
			*by = uint8(i + 1)
		}
	}
	return ""
}

// read assembles the log of a shard by a pointer: the checkpoint, then the sections of the history, then, for a reader
// that is not about to become the owner, those of the present one.
func (p *protocol) read(s *state, shard int, ptr *pointer, present bool, log *[maxOffsets]recordID) (int, violation) {
	if ptr.gone != 0 {
		return 0, missing
	}
	*log = ptr.log
	length := int(ptr.length)
	for _, r := range ptr.log[ptr.cut:max(ptr.cut, ptr.length)] {
		if inc, seq := r.object(); s.incs[inc].objects[seq] != data {
			return length, missing
		}
	}
	for _, e := range ptr.history[:ptr.entries] {
		var problem violation
		if length, problem = p.readEntry(s, shard, e, length, log); problem != "" {
			return length, problem
		}
	}
	if !present {
		return length, ""
	}
	return p.readEntry(s, shard, entry{epoch: ptr.epoch, inc: ptr.owner, from: ptr.from, to: untilSealed}, length, log)
}

// readEntry goes on with one entry. Where its end is not known yet, it is the first gap, where a seal would be put.
func (p *protocol) readEntry(s *state, shard int, e entry, length int, log *[maxOffsets]recordID) (int, violation) {
	inc := &s.incs[e.inc]
	start := int(max(e.from, inc.trim))
	end := int(e.to)
	if e.to == untilSealed && inc.sealedAt != 0 {
		end = int(inc.sealedAt) - 1
	} else if e.to == untilSealed || e.to == untilGap {
		end = inc.firstGap(start)
	}
	for n := start; n < end; n++ {
		if inc.objects[n] != data {
			return length, missing
		}
		sec := inc.sections[n]
		if sec.kind != recordSection || int(sec.shard) != shard || sec.epoch != e.epoch && !p.lacks(EpochIgnored) {
			continue
		}
		switch offset := int(sec.offset); {
		case offset > length:
			return length, offsetGap
		case offset == length:
			log[offset] = recordOf(int(e.inc), n)
			length++
		case log[offset] != recordOf(int(e.inc), n):
			return length, twoContents
		}
	}
	return length, ""
}
