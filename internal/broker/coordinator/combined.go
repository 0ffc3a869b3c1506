package coordinator

import (
	"errors"
	"fmt"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
)

// part is the machine of one kind of group, beside which others live in the same partition.
type part interface {
	machine.Machine
	// Owns says whether an event is one of this part's.
	Owns(event any) bool
	// Has says whether there is a group of this kind by that name, which no other kind may take.
	Has(group string) bool
}

// Claim is an event that may bring a group into being. Where the name belongs to a group of another kind the event is not
// handled, and answered with Refused.
type Claim interface {
	Claims() (group string)
	Refused() (reply any)
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
	claim, claims := event.(Claim)
	var owner part
	for _, p := range c.parts {
		switch {
		case p.Owns(event):
			owner = p
		case claims && p.Has(claim.Claims()):
			return machine.Decision{Replies: []machine.Reply{{Request: id, Body: claim.Refused()}}}
		}
	}
	if owner == nil {
		panic(fmt.Sprintf("coordinator: event of unknown type %T", event))
	}
	return owner.Handle(id, event, now)
}
