package streamsgroup

// memberState is how far a member is on its way to its target.
type memberState int8

// The states, with Kafka's numbers.
const (
	stable     memberState = 0 // has what it is to have, as of its epoch
	unrevoked  memberState = 1 // is to give up tasks first
	unreleased memberState = 2 // waits for tasks that others have not given up yet
)

// holding is what a member has, is to give up, and in which epoch: the durable part of its way to the target.
type holding struct {
	epoch, previousEpoch int32
	state                memberState
	owned, revoking      Tasks
}

// next returns the holding after h of a member that is to have target in epoch. reported are the tasks that the member
// says it has, nil if it said nothing; free says whether nobody else stands in the way of a task.
func (h *holding) next(target *Tasks, epoch int32, reported *Tasks, free func(Role, Task) bool) holding {
	switch h.state {
	case stable:
		if h.epoch == epoch {
			return *h
		}
	case unrevoked:
		if reported == nil || h.stillHas(reported) {
			return *h
		}
	case unreleased:
	}
	return h.advance(target, epoch, free)
}

// stillHas says whether a task that the member is to give up is among those that it has.
func (h *holding) stillHas(reported *Tasks) bool {
	for r := range roles {
		for t := range h.revoking[r] {
			if reported[r].has(t) {
				return true
			}
		}
	}
	return false
}

func (h *holding) advance(target *Tasks, epoch int32, free func(Role, Task) bool) holding {
	n := holding{epoch: h.epoch, previousEpoch: h.previousEpoch}
	waits := false
	var gained Tasks
	for r := range roles {
		for t, since := range h.owned[r] {
			if target[r].has(t) {
				n.owned.add(r, t, since)
			} else {
				n.revoking.add(r, t, since)
			}
		}
		for t := range target[r] {
			switch {
			case h.owned[r].has(t):
			case free(r, t):
				gained.add(r, t, epoch)
			default:
				waits = true
			}
		}
	}
	// What it has in another role it has to give up before it can take it.
	if !n.revoking.empty() {
		n.state = unrevoked
		return n
	}
	for r := range roles {
		for t, since := range gained[r] {
			n.owned.add(r, t, since)
		}
	}
	if n.epoch != epoch {
		n.previousEpoch, n.epoch = n.epoch, epoch
	}
	if waits {
		n.state = unreleased
	}
	return n
}
