package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A pattern says what a JSON value has to be. It is written like JSON, with these besides:
//
//	{"a": 1}        an object with at least these members; only {...} one with no others
//	[1, 2]          exactly these, in this order; set [...] in any order; has [...] these among others; lacks [...] none of these
//	absent          the member is not there, or null
//	maybe PATTERN   the member is not there, or fits
//	any int number text bool list object some     of that kind; some is a list that is not empty
//	like "x"        a string with x in it
//	json `...`      a string that holds this as JSON, whatever its white space
//	plain `...`     the whole body is this text and no JSON
//	empty           the body has no bytes
//	name=PATTERN    and <name> stands for the value from then on
//	<name>          the value that has this name
type pattern interface {
	// match returns nil or what differs, with the path to the place. There is no value for absent members: present is false.
	match(at string, got any, present bool, names map[string]any) error
}

type (
	literal struct{ value any } // string with names in it, json.Number, bool, nil
	objectP struct {
		members map[string]pattern
		only    bool
	}
	listP struct {
		kind  string // "", set, has, lacks
		items []pattern
	}
	kindP    struct{ kind string }
	likeP    struct{ text string }
	jsonP    struct{ text string }
	plainP   struct{ text string }
	captureP struct {
		name string
		of   pattern
	}
	nameP  struct{ name string }
	maybeP struct{ of pattern }
)

func mismatch(at, want string, got any) error {
	text, err := json.Marshal(got)
	if err != nil {
		text = fmt.Append(nil, got)
	}
	return fmt.Errorf("%s: want %s, got %s", orBody(at), want, text)
}

func orBody(at string) string {
	if at == "" {
		return "body"
	}
	return at
}

// replace puts values in the place of the names in < >. A name that nobody has given stays as it is: it may be a part of a schema.
func replace(s string, names map[string]any) string {
	if !strings.Contains(s, "<") {
		return s
	}
	for name, v := range names {
		s = strings.ReplaceAll(s, "<"+name+">", fmt.Sprint(v))
	}
	return s
}

func same(a, b any) bool {
	x, okX := a.(json.Number)
	y, okY := b.(json.Number)
	if okX && okY {
		fx, errX := x.Float64()
		fy, errY := y.Float64()
		return errX == nil && errY == nil && fx == fy
	}
	return reflect.DeepEqual(a, b)
}

func (p literal) match(at string, got any, present bool, names map[string]any) error {
	want := p.value
	if s, ok := want.(string); ok {
		want = replace(s, names)
	}
	if !present || !same(want, got) {
		text, err := json.Marshal(want)
		if err != nil {
			return fmt.Errorf("%s: pattern: %w", at, err)
		}
		return absentOr(at, string(text), got, present)
	}
	return nil
}

func absentOr(at, want string, got any, present bool) error {
	if !present {
		return fmt.Errorf("%s: want %s, is not there", orBody(at), want)
	}
	return mismatch(at, want, got)
}

func (p objectP) match(at string, got any, present bool, names map[string]any) error {
	m, ok := got.(map[string]any)
	if !present || !ok {
		return absentOr(at, "an object", got, present)
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(p.members)) {
		v, there := m[replace(key, names)]
		errs = append(errs, p.members[key].match(at+"."+key, v, there, names))
	}
	if p.only {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if _, ok := p.members[key]; !ok {
				errs = append(errs, mismatch(at+"."+key, "no such member", m[key]))
			}
		}
	}
	return errors.Join(errs...)
}

func (p listP) match(at string, got any, present bool, names map[string]any) error {
	list, ok := got.([]any)
	if !present || !ok {
		return absentOr(at, "a list", got, present)
	}
	if (p.kind == "" || p.kind == "set") && len(list) != len(p.items) {
		return mismatch(at, fmt.Sprintf("%d elements", len(p.items)), got)
	}
	used := make([]bool, len(list))
	for i, item := range p.items {
		if p.kind == "" {
			if err := item.match(fmt.Sprintf("%s[%d]", at, i), list[i], true, names); err != nil {
				return err
			}
			continue
		}
		var last error
		found := slices.IndexFunc(list, func(v any) bool {
			last = item.match(at+"[*]", v, true, names)
			return last == nil
		})
		for found >= 0 && found < len(list) && used[found] {
			// Two equal items need two equal elements.
			next := slices.IndexFunc(list[found+1:], func(v any) bool { return item.match(at, v, true, names) == nil })
			if next < 0 {
				found = -1
				break
			}
			found += 1 + next
		}
		switch {
		case p.kind == "lacks" && found >= 0:
			return mismatch(at, "a list without this element", list[found])
		case p.kind != "lacks" && found < 0 && last != nil:
			return fmt.Errorf("%s: no element fits: %w", orBody(at), last)
		case p.kind != "lacks" && found < 0:
			return mismatch(at, "another element", got)
		case found >= 0:
			used[found] = true
		}
	}
	return nil
}

func (p kindP) match(at string, got any, present bool, _ map[string]any) error {
	if p.kind == "absent" {
		if present && got != nil {
			return mismatch(at, "nothing", got)
		}
		return nil
	}
	ok := present
	switch p.kind {
	case "int":
		n, is := got.(json.Number)
		ok = is && !strings.ContainsAny(n.String(), ".eE")
	case "number":
		_, ok = got.(json.Number)
	case "text":
		_, ok = got.(string)
	case "bool":
		_, ok = got.(bool)
	case "list":
		_, ok = got.([]any)
	case "object":
		_, ok = got.(map[string]any)
	case "some":
		l, is := got.([]any)
		ok = is && len(l) > 0
	}
	if !ok {
		return absentOr(at, p.kind, got, present)
	}
	return nil
}

func (p likeP) match(at string, got any, present bool, names map[string]any) error {
	want := replace(p.text, names)
	s, ok := got.(string)
	if !ok || !strings.Contains(s, want) {
		return absentOr(at, fmt.Sprintf("text with %q", want), got, present)
	}
	return nil
}

func (p jsonP) match(at string, got any, present bool, names map[string]any) error {
	s, ok := got.(string)
	if !ok {
		return absentOr(at, "a string of JSON", got, present)
	}
	want, err := decode([]byte(replace(p.text, names)))
	if err != nil {
		return fmt.Errorf("%s: pattern: %w", at, err)
	}
	is, err := decode([]byte(s))
	if err != nil || !equalJSON(want, is) {
		return mismatch(at, "the JSON "+p.text, got)
	}
	return nil
}

func equalJSON(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			if v, ok := y[k]; !ok || !equalJSON(x[k], v) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equalJSON)
	}
	return same(a, b)
}

func (p plainP) match(at string, got any, _ bool, names map[string]any) error {
	if s, ok := got.(rawText); !ok || string(s) != replace(p.text, names) {
		return mismatch(at, "the text "+p.text, got)
	}
	return nil
}

func (p captureP) match(at string, got any, present bool, names map[string]any) error {
	if err := p.of.match(at, got, present, names); err != nil {
		return err
	}
	names[p.name] = got
	return nil
}

func (p nameP) match(at string, got any, present bool, names map[string]any) error {
	want, ok := names[p.name]
	if !ok {
		return fmt.Errorf("%s: nothing has been named %s", orBody(at), p.name)
	}
	if !present || !same(want, got) {
		return absentOr(at, fmt.Sprint(want), got, present)
	}
	return nil
}

func (p maybeP) match(at string, got any, present bool, names map[string]any) error {
	if !present || got == nil {
		return nil
	}
	return p.of.match(at, got, present, names)
}

// rawText is the body of an answer for patterns that do not ask for JSON.
type rawText string

// wantsRaw says whether a pattern is about the bytes of a body.
func wantsRaw(p pattern) bool {
	switch q := p.(type) {
	case plainP:
		return true
	case kindP:
		return q.kind == "empty"
	}
	return false
}

func decode(body []byte) (any, error) {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}
