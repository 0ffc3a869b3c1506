package group

import (
	"bytes"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
)

// member is one member of a live group.
type member struct {
	id         string
	instanceID string
	clientID   string
	clientHost string
	session    time.Duration
	rebalance  time.Duration
	protocols  []Protocol
	assignment []byte // of the current generation

	// isNew holds from the first join to the first completed one: until then the member has no session, but a limit on
	// how long it waits.
	isNew bool
	// joining and syncing are the requests that wait, NoRequest if none does.
	joining RequestID
	syncing RequestID
	// expiry ends the member's session.
	expiry machine.Alarm
}

// metadata returns the member's metadata for the protocol, nil if it does not support it.
func (m *member) metadata(protocol string) []byte {
	for i := range m.protocols {
		if m.protocols[i].Name == protocol {
			return m.protocols[i].Metadata
		}
	}
	return nil
}

// matches tells whether the protocols are the member's, in the same order and with the same metadata.
func (m *member) matches(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// vote returns the first of the member's protocols that is among the candidates.
func (m *member) vote(isCandidate func(protocol string) bool) string {
	for i := range m.protocols {
		if isCandidate(m.protocols[i].Name) {
			return m.protocols[i].Name
		}
	}
	return ""
}
