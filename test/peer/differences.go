package peer

import (
	"fmt"
	"os"
	"strings"
)

// Allowance is a difference from the golden transcript that is known and justified: in the answer of one exchange, the
// line Other of another broker stands for the line Kafka of Apache Kafka.
type Allowance struct {
	Scene  string
	Prefix string // how the request of the exchange starts
	Kafka  string // "" if Kafka's answer has no such line
	Other  string // "" if the other broker's answer has no such line
	Reason string
	used   bool
}

// LoadAllowances reads the file at path. An entry is a block of lines "reason: …", "scene: …", "request: …", "kafka: …"
// and "other: …"; blocks are separated by blank lines, lines that start with # are comments.
func LoadAllowances(path string) ([]*Allowance, error) {
	b, err := os.ReadFile(path) //nolint:gosec // a file of ours
	if err != nil {
		return nil, err
	}
	return parseAllowances(string(b))
}

func parseAllowances(src string) ([]*Allowance, error) {
	var as []*Allowance
	for para := range strings.SplitSeq(src, "\n\n") {
		a := &Allowance{}
		targets := map[string]*string{"reason": &a.Reason, "scene": &a.Scene, "request": &a.Prefix, "kafka": &a.Kafka, "other": &a.Other}
		for line := range strings.SplitSeq(para, "\n") {
			if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
				continue
			}
			name, rest, ok := strings.Cut(line, ":")
			target := targets[name]
			if !ok || target == nil {
				return nil, fmt.Errorf("differences: bad line %q", line)
			}
			*target = strings.TrimPrefix(rest, " ")
		}
		if *a == (Allowance{}) {
			continue
		}
		if a.Reason == "" || a.Scene == "" || a.Prefix == "" || a.Kafka == a.Other {
			return nil, fmt.Errorf("differences: an entry needs a reason, a scene, a request and two lines that differ:\n%s", para)
		}
		as = append(as, a)
	}
	return as, nil
}

// Excuse rewrites the transcript got of another broker: lines that an allowance covers become Kafka's.
func Excuse(as []*Allowance, want, got Transcript) {
	for i := range min(len(want), len(got)) {
		for _, a := range as {
			if a.Scene == got[i].Scene && strings.HasPrefix(got[i].Request, a.Prefix) {
				got[i].Answer = a.excuse(want[i].Answer, got[i].Answer)
			}
		}
	}
}

// excuse goes through both answers together, so that only a line at its own place is excused.
func (a *Allowance) excuse(want, got []string) []string {
	var out []string
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(want) > 0 && len(got) > 0 && want[0] == got[0]:
			out = append(out, got[0])
			want, got = want[1:], got[1:]
		case a.Kafka != "" && a.Other != "" && len(want) > 0 && len(got) > 0 && a.is(a.Kafka, want[0]) && a.is(a.Other, got[0]):
			out = append(out, want[0])
			want, got, a.used = want[1:], got[1:], true
		case a.Other == "" && len(want) > 0 && a.is(a.Kafka, want[0]):
			out = append(out, want[0])
			want, a.used = want[1:], true
		case a.Kafka == "" && len(got) > 0 && a.is(a.Other, got[0]):
			got, a.used = got[1:], true
		default:
			if len(got) > 0 {
				out = append(out, got[0])
				got = got[1:]
			}
			if len(want) > 0 {
				want = want[1:]
			}
		}
	}
	return out
}

func (a *Allowance) is(pattern, line string) bool { return pattern == strings.TrimSpace(line) }

// Unused returns the allowances that excused nothing.
func Unused(as []*Allowance) []*Allowance {
	var out []*Allowance
	for _, a := range as {
		if !a.used {
			out = append(out, a)
		}
	}
	return out
}
