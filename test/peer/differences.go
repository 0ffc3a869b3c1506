package peer

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Allowance is a difference from the golden transcript that is known and justified: in the answer of one exchange, the
// line Other of another broker stands for the line Kafka of Apache Kafka. Or else Text names a field of sentences for
// humans: both brokers must have one, or have none, but each says it in its own words.
type Allowance struct {
	Scene  string
	Prefix string // how the request of the exchange starts
	Kafka  string // "" if Kafka's answer has no such line
	Other  string // "" if the other broker's answer has no such line
	Text   string // the field, where no lines are given
	Reason string
	used   bool
}

// LoadAllowances reads the file at path. An entry is a block of lines "reason: …", "scene: …", "request: …", "kafka: …"
// and "other: …", or "text: …" in place of the last two; blocks are separated by blank lines, lines that start with # are
// comments. A block with several requests gives one allowance for each.
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
		var a Allowance
		var requests []string
		targets := map[string]*string{"reason": &a.Reason, "scene": &a.Scene, "request": &a.Prefix, "kafka": &a.Kafka, "other": &a.Other, "text": &a.Text}
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
			if name == "request" {
				requests = append(requests, a.Prefix)
			}
		}
		if a == (Allowance{}) {
			continue
		}
		if a.Reason == "" || a.Scene == "" || len(requests) == 0 || (a.Kafka == a.Other) == (a.Text == "") {
			return nil, fmt.Errorf("differences: an entry needs a reason, a scene, a request, and two lines that differ or a field of text:\n%s", para)
		}
		for _, r := range requests {
			one := a
			one.Prefix = r
			as = append(as, &one)
		}
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
		case a.Text != "" && len(want) > 0 && len(got) > 0 && a.wordless(want[0]) == a.wordless(got[0]):
			out = append(out, want[0])
			want, got, a.used = want[1:], got[1:], true
		case a.Text != "" && len(want) > 0 && len(got) > 0:
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

// wordless returns the line with the sentence of the field Text taken out, but for whether there is one. A sentence has
// blanks and so stands in quotes; it may have quotes itself, and ends where another field or the line does.
func (a *Allowance) wordless(line string) string {
	return regexp.MustCompile(`\b`+a.Text+`=".* .*?"($| [A-Z]\w*=)`).ReplaceAllString(line, a.Text+`="…"$1`)
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
