package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A file of compatibility/ has pairs of schemas:
//
//	format AVRO
//
//	== a field without a default is added
//	old `{"type": "record", "name": "R", "fields": []}`
//	new `{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}`
//	backward no READER_FIELD_MISSING_DEFAULT_VALUE
//	forward yes
//
// Several "old" are versions that were registered one after the other; then each level that is to be tried is named. With one
// "old", the seven levels follow from backward and forward. A type of difference after "no" has to be named by the messages of the
// check. "policy LENIENT" sets the policy of the subject. At the end the new schema is registered under the first level named, which
// must be done or refused as the check has said.
type pair struct {
	format, policy string
	old            []string
	new            string
	levels         []level
}

type level struct {
	name       string
	compatible bool
	kinds      []string
}

// sevenLevels are all there are.
var sevenLevels = []string{"NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}

func parsePairs(name, text string) ([]Case, error) {
	l := newLines(name, text)
	format := ""
	var out []Case
	finish := func() error {
		if len(out) == 0 {
			return nil
		}
		return out[len(out)-1].pair.complete(l)
	}
	for l.more() {
		line, err := l.take()
		if err != nil {
			return nil, err
		}
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"):
			continue
		case word == "format":
			format = strings.TrimSpace(rest)
			continue
		case word == "==":
			if err := finish(); err != nil {
				return nil, err
			}
			c := l.begin(line)
			c.pair = &pair{format: format}
			out = append(out, c)
			continue
		}
		if len(out) == 0 {
			return nil, l.errorf("%q before the first case", line)
		}
		if err := out[len(out)-1].pair.line(l, word, strings.TrimSpace(rest)); err != nil {
			return nil, err
		}
	}
	return out, finish()
}

// line reads one line of a pair.
func (p *pair) line(l *lines, word, rest string) error {
	switch word {
	case "old", "new":
		if len(rest) < 2 || rest[0] != '`' || rest[len(rest)-1] != '`' {
			return l.errorf("%s: the schema is not in back quotes", word)
		}
		if text := trimBlock(rest[1 : len(rest)-1]); word == "old" {
			p.old = append(p.old, text)
		} else {
			p.new = text
		}
		return nil
	case "policy":
		p.policy = rest
		return nil
	}
	lev := level{name: strings.ToUpper(word)}
	words := strings.Fields(rest)
	if !slices.Contains(sevenLevels, lev.name) || len(words) == 0 || words[0] != "yes" && words[0] != "no" {
		return l.errorf("not a level with yes or no: %s %s", word, rest)
	}
	lev.compatible, lev.kinds = words[0] == "yes", words[1:]
	p.levels = append(p.levels, lev)
	return nil
}

// complete adds the levels that follow from those of a pair with one old version.
func (p *pair) complete(l *lines) error {
	if len(p.old) == 0 || p.new == "" || len(p.levels) == 0 {
		return l.errorf("the case before has no old, no new or no level")
	}
	at := func(name string) int {
		return slices.IndexFunc(p.levels, func(lev level) bool { return lev.name == name })
	}
	b, f := at("BACKWARD"), at("FORWARD")
	if len(p.old) > 1 || b < 0 || f < 0 {
		return nil
	}
	backward, forward := p.levels[b], p.levels[f]
	full := level{compatible: backward.compatible && forward.compatible}
	for _, lev := range []level{
		{name: "NONE", compatible: true},
		{name: "BACKWARD_TRANSITIVE", compatible: backward.compatible, kinds: backward.kinds},
		{name: "FORWARD_TRANSITIVE", compatible: forward.compatible, kinds: forward.kinds},
		{name: "FULL", compatible: full.compatible},
		{name: "FULL_TRANSITIVE", compatible: full.compatible},
	} {
		if at(lev.name) < 0 {
			p.levels = append(p.levels, lev)
		}
	}
	return nil
}

// pair registers the old versions, asks at every level and at last registers the new one.
func (t *trial) pair(p *pair) error {
	subject := fmt.Sprint(t.names["s"])
	if err := t.setLevel(subject, "NONE", p.policy); err != nil {
		return err
	}
	for i, text := range p.old {
		if err := t.post("/subjects/"+subject+"/versions", p.format, text, fmt.Sprintf("200: version %d", i+1), func(a answer) bool { return a.status == http.StatusOK }); err != nil {
			return err
		}
	}
	for _, lev := range p.levels {
		if err := t.setLevel(subject, lev.name, p.policy); err != nil {
			return err
		}
		want := fmt.Sprintf("at %s: 200 {\"is_compatible\": %v} %s", lev.name, lev.compatible, strings.Join(lev.kinds, " "))
		if err := t.post("/compatibility/subjects/"+subject+"/versions?verbose=true", p.format, p.new, want, lev.agrees); err != nil {
			return err
		}
	}
	first := p.levels[0]
	if err := t.setLevel(subject, first.name, p.policy); err != nil {
		return err
	}
	want := map[bool]string{true: "200", false: "409, error_code 40901"}[first.compatible]
	return t.post("/subjects/"+subject+"/versions", p.format, p.new, "registered at "+first.name+": "+want, func(a answer) bool {
		if first.compatible {
			return a.status == http.StatusOK
		}
		var e struct {
			Code int `json:"error_code"`
		}
		return a.status == http.StatusConflict && json.Unmarshal(a.body, &e) == nil && e.Code == 40901
	})
}

// agrees says whether the answer of a check is what the level must give.
func (lev level) agrees(a answer) bool {
	var v struct {
		Compatible *bool    `json:"is_compatible"`
		Messages   []string `json:"messages"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &v) != nil || v.Compatible == nil || *v.Compatible != lev.compatible {
		return false
	}
	all := strings.Join(v.Messages, "\n")
	return !slices.ContainsFunc(lev.kinds, func(kind string) bool { return !strings.Contains(all, kind) })
}

func (t *trial) setLevel(subject, name, policy string) error {
	body := map[string]string{"compatibility": name}
	if policy != "" {
		body["compatibilityPolicy"] = policy
	}
	return t.send(http.MethodPut, "/config/"+subject, body, "200", func(a answer) bool { return a.status == http.StatusOK })
}

func (t *trial) post(path, format, text, want string, right func(answer) bool) error {
	return t.send(http.MethodPost, path, map[string]string{"schema": text, "schemaType": format}, want, right)
}

func (t *trial) send(method, path string, body any, want string, right func(answer) bool) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the body of %s: %w", path, err)
	}
	s := string(text)
	a, err := t.do(method, path, nil, &s)
	if err != nil {
		return &failure{t.curl(method, path, nil, &s), want, err.Error()}
	}
	if !right(a) {
		return &failure{t.curl(method, path, nil, &s), want, fmt.Sprintf("%d %s", a.status, short(string(a.body)))}
	}
	return nil
}
