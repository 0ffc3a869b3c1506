package model

import "fmt"

// stepNames are in the order of stepKind.
var stepNames = [stepKinds]string{
	"produce", "store applies PUT", "store applies stray PUT", "answer arrives", "answer lost", "PUT doubled",
	"take-over", "controller reads", "controller writes", "pointer read", "seal chosen", "seal PUT", "seal noted", "recovered",
	"release sent", "hand-over sent", "hand-over applies", "hand-over given up", "renewed",
	"checkpoint prepared", "checkpoint applies", "checkpoint given up", "late checkpoint",
	"trim computed", "trim noted", "object deleted", "closed unsealed",
	"snapshot taken", "metadata set back", "claim written", "claims compared", "trim compared", "trim stamped",
}

// describe says what a step does in the state before it. Incarnations are A, B, C, D; A/1 is the object of A with seq 1.
func (p *protocol) describe(s *state, st step) string {
	who := func(i uint8) string { return string(rune('A' + i)) }
	key := func(i, n uint8) string { return fmt.Sprintf("%s/%d", who(i), n) }
	a, b := st.a, st.b
	switch st.kind {
	case produce:
		own := &s.incs[a].owns[b]
		return fmt.Sprintf("%s sends PUT %s: a record of shard %d, epoch %d, offset %d", who(a), key(a, s.incs[a].next), b, own.epoch, own.length)
	case storeApplies:
		if was := s.incs[a].objects[b]; was != absent {
			return fmt.Sprintf("store answers PUT %s with 412: %s is there", key(a, b), objectNames[was])
		}
		return fmt.Sprintf("store creates %s", key(a, b))
	case strayApplies:
		if s.incs[a].objects[b] != absent {
			return fmt.Sprintf("late copy of PUT %s arrives, in vain", key(a, b))
		}
		return fmt.Sprintf("late copy of PUT %s arrives: store creates %s", key(a, b), key(a, b))
	case answerArrives:
		return p.describeAnswer(s, a, b)
	case answerLost:
		return fmt.Sprintf("answer to PUT %s is lost, %s sends it again", key(a, b), who(a))
	case putDoubled:
		return fmt.Sprintf("network keeps a copy of PUT %s", key(a, b))
	}
	return p.describeOwnership(s, st, who, key)
}

var objectNames = [...]string{absent: "nothing", data: "data", seal: "a seal"}

func (p *protocol) describeAnswer(s *state, a, b uint8) string {
	after := *s
	p.take(&after, step{kind: answerArrives, a: a, b: b})
	name := fmt.Sprintf("%c gets the answer to PUT %c/%d", 'A'+a, 'A'+a, b)
	before, now := s.incs[a], after.incs[a]
	switch {
	case now.dropped != 0:
		return name + ": sealed; it drops its state"
	case now.puts[b] == putSent:
		return name + ": 412, but the object is gone; sends it again"
	case now.puts[b] == putSkipped:
		return name + ": 412; fails the record, goes on behind it"
	case now.ackedSeqs != before.ackedSeqs:
		return fmt.Sprintf("%s and acknowledges all below %c/%d", name, 'A'+a, now.acked)
	}
	return name
}

func (p *protocol) describeOwnership(s *state, st step, who func(uint8) string, key func(a, b uint8) string) string {
	a, b, c := st.a, st.b, st.c
	switch st.kind {
	case takeOver:
		return fmt.Sprintf("controller: shard %d to %s, epoch %d", a, who(b), s.pointers[a].epoch+1)
	case controllerReads:
		return fmt.Sprintf("a controller reads shard %d at epoch %d, wants to give it to %s", a, s.pointers[a].epoch, who(b))
	case controllerWrites:
		as := s.assignments[a]
		return fmt.Sprintf("that controller's transaction: shard %d to %s, epoch %d", as.shard, who(as.dest), as.epoch+1)
	case pointerRead:
		return fmt.Sprintf("%s reads that it owns shard %d in epoch %d", who(a), b, s.pointers[b].epoch)
	case sealChosen:
		return fmt.Sprintf("%s looks for the end of %s from %d, at trim %d", who(a), who(b), p.sealFrom(s, int(a), int(b)), s.incs[b].trim)
	case sealPut:
		sl := s.incs[a].sealing
		return fmt.Sprintf("%s sends PUT of a seal at %s: %s there", who(a), key(sl.target, sl.at), objectNames[s.incs[sl.target].objects[sl.at]])
	case sealNoted:
		sl := s.incs[a].sealing
		return fmt.Sprintf("%s: transaction inc/%s = sealed@%d", who(a), who(sl.target), sl.at)
	case recovered:
		after := *s
		p.take(&after, st)
		if own := after.incs[a].owns[b]; own.phase == serving {
			return fmt.Sprintf("%s has read shard %d up to offset %d and serves it in epoch %d", who(a), b, own.length, own.epoch)
		}
		return fmt.Sprintf("%s misses an object of shard %d and starts over", who(a), b)
	case releaseSent:
		return fmt.Sprintf("%s stops intake of shard %d and sends PUT %s: RELEASE", who(a), b, key(a, s.incs[a].next))
	case handOverSent:
		own, end := &s.incs[a].owns[b], "somewhere"
		if !p.lacks(HandOverWithoutEnd | NoEndButStopped) {
			end = "at " + key(a, own.end)
		}
		return fmt.Sprintf("%s sends transaction: shard %d to %s, epoch %d ends %s", who(a), b, who(c), own.epoch, end)
	case handOverApplies:
		h := s.handOvers[a]
		ok := s.pointers[a].epoch == h.epoch && s.pointers[a].version == h.version
		return fmt.Sprintf("store carries out the hand-over of shard %d to %s: %t", a, who(h.dest), ok)
	case handOverGivenUp:
		return fmt.Sprintf("%s hears nothing of the hand-over and serves shard %d again", who(a), b)
	case renewed:
		return fmt.Sprintf("%s: transaction: shard %d stays, epoch %d", who(a), b, s.pointers[b].epoch+1)
	}
	return p.describeGarbage(s, st, who, key)
}

func (p *protocol) describeGarbage(s *state, st step, who func(uint8) string, key func(a, b uint8) string) string {
	a, b := st.a, st.b
	switch st.kind {
	case checkpointPrepared:
		after := *s
		p.take(&after, st)
		ck := after.incs[a].owns[b].publishing
		return fmt.Sprintf("%s writes a checkpoint of shard %d: offsets below %d, L1 below %d, goes on at %s", who(a), b, ck.length, ck.cut, key(a, ck.from))
	case checkpointApplies:
		return fmt.Sprintf("%s: transaction of the checkpoint of shard %d", who(a), b)
	case checkpointGivenUp:
		return fmt.Sprintf("%s hears nothing of its checkpoint of shard %d", who(a), b)
	case lateCheckpoint:
		ck := s.checkpoints[a]
		return fmt.Sprintf("late transaction of %s's checkpoint of shard %d: goes on at %s", who(ck.inc), a, key(ck.inc, ck.from))
	case trimComputed:
		return fmt.Sprintf("a deleter finds that no shard needs what is below %s", key(a, uint8(p.trimOf(s, int(a)))))
	case trimNoted:
		return fmt.Sprintf("transaction: trim of inc/%s = %d", who(a), s.incs[a].trimWanted)
	case objectDeleted:
		return fmt.Sprintf("store deletes %s: %s", key(a, b), objectNames[s.incs[a].objects[b]])
	case closedUnsealed:
		return fmt.Sprintf("%s drops its state and notes inc/%s = sealed@%d", who(a), who(a), s.incs[a].acked)
	}
	return p.describeSetBack(s, st, who)
}

func (p *protocol) describeSetBack(s *state, st step, who func(uint8) string) string {
	a, b := st.a, st.b
	ends := func() string {
		after := *s
		p.take(&after, st)
		if after.incs[a].dropped != 0 {
			return ": the metadata is older; it ends"
		}
		return ""
	}
	switch st.kind {
	case snapshotTaken:
		return "a snapshot of the metadata is saved"
	case metadataSetBack:
		if a == 1 {
			return "the metadata store is made anew from the snapshot; manifests that were replaced since are gone"
		}
		return "the metadata store is made anew from the snapshot"
	case claimWritten:
		return fmt.Sprintf("%s writes its claim of shard %d, epoch %d", who(a), b, s.incs[a].owns[b].epoch) + ends()
	case claimsCompared:
		return fmt.Sprintf("%s looks for claims of shard %d", who(a), b) + ends()
	case trimCompared:
		return fmt.Sprintf("%s compares the stamp of the trim of %s", who(a), who(b)) + ends()
	case trimStamped:
		return fmt.Sprintf("the trim of %s is stamped: %d", who(a), max(s.incs[a].trim, s.incs[a].trimLate))
	}
	return stepNames[st.kind]
}
