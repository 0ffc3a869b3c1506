package contract

import (
	"slices"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/kafka/terms"
)

// Sample is one record that broke its contract. It holds nothing of the value.
type Sample struct {
	Time      time.Time    `json:"time"`
	Mode      string       `json:"mode"`
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"` // -1: its batch was refused, or it is a dead letter
	Key       []byte       `json:"key,omitempty"`
	Part      string       `json:"part"`
	Reason    terms.Reason `json:"reason"`
	Subject   string       `json:"subject,omitempty"`
	SchemaID  int32        `json:"schema_id,omitempty"`
	GUID      string       `json:"schema_guid,omitempty"`
	Rule      string       `json:"rule,omitempty"`
}

// samples are the last violations of a topic.
type samples struct {
	mu   sync.Mutex
	list []Sample
	next int // where the oldest is, once there are samplesPerTopic
}

func (s *samples) add(n *terms.Judged, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n.Violations[:min(len(n.Violations), len(n.Keys))] {
		v := &n.Violations[i]
		x := Sample{
			Time: now, Mode: n.Mode.String(), Partition: n.Partition, Offset: -1, Part: v.Part.String(), Reason: v.Reason,
			Subject: v.Subject, SchemaID: v.SchemaID, GUID: v.GUID, Rule: v.Rule,
		}
		if n.BaseOffset >= 0 && (n.Mode != terms.DeadLetter && !v.DeadLetter || v.Mild) {
			x.Offset = n.BaseOffset + int64(v.Index)
		}
		if k := n.Keys[i]; k != nil {
			x.Key = k[:min(len(k), sampleKeyBytes):min(len(k), sampleKeyBytes)]
		}
		if len(s.list) < samplesPerTopic {
			s.list = append(s.list, x)
			continue
		}
		s.list[s.next] = x
		s.next = (s.next + 1) % samplesPerTopic
	}
}

// all returns the samples, the newest first.
func (s *samples) all() []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := append(slices.Clone(s.list[s.next:]), s.list[:s.next]...)
	slices.Reverse(out)
	return out
}

// Samples returns the last violations of a topic, the newest first; none for a topic that was not judged since the start.
func (v *Validator) Samples(topic string) []Sample {
	v.mu.RLock()
	x := v.topics[topic]
	v.mu.RUnlock()
	if x == nil || x.samples == nil {
		return nil
	}
	return x.samples.all()
}
