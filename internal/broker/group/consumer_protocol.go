package group

import "encoding/binary"

// The messages that consumers of the classic protocol exchange through the broker (ConsumerProtocolSubscription and
// ConsumerProtocolAssignment), which it has to read and write for groups of both protocols. Versions up to 3 are known;
// later ones only add fields.
//
//	subscription  int16 version | topics | user data | v1: owned partitions | v2: int32 generation | v3: rack
//	assignment    int16 version | assigned partitions | user data

const assignmentVersionMax = 3

// consumerSubscription is what a member of the classic protocol reads and has.
type consumerSubscription struct {
	topics []string
	owned  []ownedTopic
	rack   string
}

// ownedTopic are partitions of a topic by name.
type ownedTopic struct {
	topic      string
	partitions []int32
}

// decodeSubscription reads the subscription that goes with a member's most preferred protocol.
func decodeSubscription(protocols []Protocol) (consumerSubscription, bool) {
	if len(protocols) == 0 {
		return consumerSubscription{}, false
	}
	return parseSubscription(protocols[0].Metadata)
}

// parser reads fields one after another; ok turns false when they are not there.
type parser struct {
	b  []byte
	ok bool
}

func (p *parser) take(n int) []byte {
	if !p.ok || n < 0 || n > len(p.b) {
		p.ok = false
		return nil
	}
	out := p.b[:n]
	p.b = p.b[n:]
	return out
}

func (p *parser) int16() int16 {
	if b := p.take(2); p.ok {
		return int16(binary.BigEndian.Uint16(b))
	}
	return -1
}

func (p *parser) int32() int32 {
	if b := p.take(4); p.ok {
		return int32(binary.BigEndian.Uint32(b))
	}
	return -1
}

func (p *parser) string() string { return string(p.take(int(p.int16()))) }

// count reads the length of an array whose elements take at least each bytes.
func (p *parser) count(each int) int {
	n := int(p.int32())
	if n < 0 || n > len(p.b)/each {
		p.ok = false
		return 0
	}
	return n
}

func (p *parser) skipBytes() {
	if n := p.int32(); n > 0 {
		p.take(int(n))
	}
}

func (p *parser) owned() []ownedTopic {
	var topics []ownedTopic
	for range p.count(6) {
		t := ownedTopic{topic: p.string()}
		for range p.count(4) {
			t.partitions = append(t.partitions, p.int32())
		}
		if !p.ok {
			return nil
		}
		topics = append(topics, t)
	}
	return topics
}

func parseSubscription(b []byte) (consumerSubscription, bool) {
	p := parser{b, true}
	version := p.int16()
	if version < 0 {
		return consumerSubscription{}, false
	}
	var s consumerSubscription
	for range p.count(2) {
		s.topics = append(s.topics, p.string())
	}
	p.skipBytes()
	if version >= 1 {
		s.owned = p.owned()
	}
	if version >= 2 {
		p.int32()
	}
	if version >= 3 {
		if n := p.int16(); n > 0 {
			s.rack = string(p.take(int(n)))
		}
	}
	return s, p.ok
}

// parseAssignment reads the partitions of an assignment. One without any may be empty.
func parseAssignment(b []byte) ([]ownedTopic, bool) {
	p := parser{b, true}
	if p.int16() < 0 {
		return nil, false
	}
	owned := p.owned()
	return owned, p.ok
}

// encodeAssignment writes an assignment in the version of the subscription that it answers.
func encodeAssignment(subscription []byte, owned []ownedTopic) []byte {
	p := parser{subscription, true}
	b := binary.BigEndian.AppendUint16(nil, uint16(min(max(p.int16(), 0), assignmentVersionMax)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(owned)))
	for _, o := range owned {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(o.topic))), o.topic...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(o.partitions)))
		for _, n := range o.partitions {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
	}
	return binary.BigEndian.AppendUint32(b, ^uint32(0)) // no user data
}
