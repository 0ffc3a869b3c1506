package coordinator

import (
	"errors"
	"fmt"
	"time"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/streamsgroup"
	"github.com/weir-stream/weir/internal/kafka"
)

// part is the machine of one kind of group, beside which others live in the same partition.
type part interface {
	machine.Machine
	// Owns says whether an event is one of this part's.
	Owns(event any) bool
	// Has says whether there is a group of this kind by that name, which no other kind may take.
	Has(group string) bool
}

// Claim is an event about a group of one kind. Where the name belongs to a group of another kind, the event is not handled,
// and answered with Refused; unless it takes the name, and the other kind yields it.
type Claim interface {
	Claims() (group string, takes bool)
	Refused() (reply any)
}

// yielder is a part that may give up the name of a group without members to another kind.
type yielder interface {
	Yield(group string, now time.Time) (machine.Decision, bool)
}

// combined is the machine of a partition of __consumer_offsets: groups of several kinds, each with its own machine, which
// share the partition's records and the names of groups. An event goes to the part that owns its type; a record is
// offered to each part until one knows it.
type combined struct{ parts []part }

func (c combined) Replay(r machine.Record, in *machine.Producer) error {
	for _, p := range c.parts {
		if err := p.Replay(r, in); !errors.Is(err, machine.ErrUnknownKind) {
			return err
		}
	}
	return machine.ErrUnknownKind
}

func (c combined) ReplayMarker(m machine.Marker) {
	for _, p := range c.parts {
		p.ReplayMarker(m)
	}
}

func (c combined) Activate(now time.Time) machine.Decision {
	var d machine.Decision
	for _, p := range c.parts {
		d.Add(p.Activate(now))
	}
	return d
}

func (c combined) NextAlarm() time.Time {
	var next time.Time
	for _, p := range c.parts {
		if at := p.NextAlarm(); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

func (c combined) Handle(id machine.RequestID, event any, now time.Time) machine.Decision {
	if _, tick := event.(machine.Tick); tick {
		var d machine.Decision
		for _, p := range c.parts {
			d.Add(p.Handle(id, event, now))
		}
		return d
	}
	owner := c.ownerOf(event)
	before, ok := c.claim(event, owner, now)
	if !ok {
		return machine.Decision{Replies: []machine.Reply{{Request: id, Body: event.(Claim).Refused()}}}
	}
	d := owner.Handle(id, event, now)
	if del, is := event.(group.DeleteGroup); is && len(d.Replies) == 1 && d.Replies[0].Body == kafka.None {
		// The offsets are gone, and with them what is left of a group whose members another part keeps.
		for _, p := range c.parts {
			if y, may := p.(yielder); may && p != owner {
				rest, _ := y.Yield(del.Group, now)
				d.Add(rest)
			}
		}
	}
	if len(before.Records) > 0 {
		// No event that claims a name belongs to a transaction.
		before.Add(d)
		return before
	}
	return d
}

func (c combined) ownerOf(event any) part {
	for _, p := range c.parts {
		if p.Owns(event) {
			return p
		}
	}
	panic(fmt.Sprintf("coordinator: event of unknown type %T", event))
}

// claim makes sure that the name that event claims is owner's to take, and returns what other parts do to give it up.
func (c combined) claim(event any, owner part, now time.Time) (d machine.Decision, ok bool) {
	claim, claims := event.(Claim)
	if !claims {
		return d, true
	}
	name, takes := claim.Claims()
	for _, p := range c.parts {
		if p == owner || !p.Has(name) || keepsOffsetsFor(p, event) {
			continue
		}
		y, may := p.(yielder)
		if !may || !takes {
			return d, false
		}
		given, yes := y.Yield(name, now)
		if !yes {
			return d, false
		}
		d.Add(given)
	}
	return d, true
}

// keepsOffsetsFor says whether event is about offsets of a group of p, which are kept with those of all groups.
func keepsOffsetsFor(p part, event any) bool {
	if _, streams := p.(*streamsgroup.Machine); !streams {
		return false
	}
	switch event.(type) {
	case group.Commit, group.TxnCommit:
		return true
	}
	return false
}
