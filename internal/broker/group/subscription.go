package group

import "encoding/binary"

// updateSubscribed works out which topics the members of a consumer group read, for the rule that offsets of a
// subscribed topic are neither deleted nor expired. If any member's metadata cannot be read the topics are not known,
// and the group counts as subscribed to everything.
func (g *live) updateSubscribed() {
	g.subscribed, g.subscribedKnown = nil, true
	if len(g.members) == 0 {
		return
	}
	if g.protocolType != consumerProtocolType || g.protocol == "" {
		g.subscribedKnown = false
		return
	}
	g.subscribed = map[string]struct{}{}
	for _, m := range g.members {
		if !readSubscription(m.metadata(g.protocol), g.subscribed) {
			g.subscribed, g.subscribedKnown = nil, false
			return
		}
	}
}

// subscribes tells whether members read the topic, as far as the group knows.
func (g *live) subscribes(topic string) bool {
	if !g.subscribedKnown {
		return g.protocolType == consumerProtocolType
	}
	_, ok := g.subscribed[topic]
	return ok
}

// readSubscription adds the topics of a consumer's subscription (the message ConsumerProtocolSubscription, whose first
// fields are the same in all versions: int16 version, int32 count, count strings with an int16 length) to topics. It
// returns false if the bytes are not one.
func readSubscription(b []byte, topics map[string]struct{}) bool {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b)) < 0 {
		return false
	}
	count := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	// Each topic takes two bytes at least, which bounds the loop by what is really there.
	if count < 0 || int64(count) > int64(len(b)/2) {
		return false
	}
	for range count {
		if len(b) < 2 {
			return false
		}
		n := int(int16(binary.BigEndian.Uint16(b)))
		b = b[2:]
		if n < 0 || n > len(b) {
			return false
		}
		topics[string(b[:n])] = struct{}{}
		b = b[n:]
	}
	return true
}
