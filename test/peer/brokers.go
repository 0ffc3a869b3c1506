package peer

import (
	"regexp"
	"slices"
	"strings"
)

// asOfOneBroker returns the answers with each list of brokers cut down to one: the golden answers have one broker, and with their addresses
// masked all look alike. Of the quorum the controller alone stays, under the golden number, since any of them may be it; the others are its observers.
func asOfOneBroker(t Transcript) Transcript {
	t = slices.Clone(t)
	for i := range t {
		var answer []string
		observers := false
		for _, line := range t[i].Answer {
			replica := strings.HasPrefix(strings.TrimSpace(line), "- ReplicaID=")
			observers = strings.TrimSpace(line) == "Observers:" || observers && replica
			again := len(answer) > 0 && line == answer[len(answer)-1] && strings.Contains(line, "NodeID=<node> Host=<host>")
			if observers || again {
				continue
			}
			answer = append(answer, replicaNumber.ReplaceAllString(line, "- ReplicaID=1"))
		}
		t[i].Answer = answer
	}
	return t
}

var (
	replicaNumber = regexp.MustCompile(`- ReplicaID=[0-9]+`)
	epochFields   = regexp.MustCompile(` (LeaderEpoch=(<epoch>|\$epoch1?|[0-9]+)|CoordinatorEpoch=[0-9]+)`)
	markerEpochs  = regexp.MustCompile(`\[(0x0000000[01]=0x0000)[0-9a-f]{8}\]`) // a marker's version and kind, its version and the coordinator's epoch
)

// withoutEpochs returns the answers without leaders' and coordinators' epochs. They count how often a shard has changed hands, and are left out where
// that is never; where several brokers begin together nobody knows.
func withoutEpochs(t Transcript) Transcript {
	t = slices.Clone(t)
	for i := range t {
		t[i].Answer = slices.Clone(t[i].Answer)
		for j, line := range t[i].Answer {
			t[i].Answer[j] = withoutEpoch(line)
		}
	}
	return t
}

func withoutEpoch(line string) string {
	return markerEpochs.ReplaceAllString(epochFields.ReplaceAllString(line, ""), "[$1]")
}
