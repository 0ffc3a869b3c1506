package jsonschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/weir-stream/weir/internal/schema"
)

// maxNumberBytes and maxExponent bound numbers: what computes with them exactly must not be made to write out 1e999999999.
const (
	maxNumberBytes = 400
	maxExponent    = 400
)

// value is a JSON value whose objects keep the order of their text.
type value struct {
	kind    byte // '{', '[', '"', '0' for a number, 't', 'f' or 'n'
	text    string
	list    []*value
	members []member
}

type member struct {
	name string
	v    *value
}

// get finds a member of an object, nil if there is none or v is no object.
func (v *value) get(name string) *value {
	if v == nil {
		return nil
	}
	for i := range v.members {
		if v.members[i].name == name {
			return v.members[i].v
		}
	}
	return nil
}

// scanner reads JSON (RFC 8259) and nothing else: no comments, no NaN, no invalid UTF-8.
type scanner struct {
	in    []byte
	pos   int
	depth int
	nodes int               // objects and arrays read
	names map[string]string // names to be used again instead of copied, each under itself
}

func (s *scanner) fail(format string, args ...any) error {
	line, col := 1, 1
	for _, c := range s.in[:min(s.pos, len(s.in))] {
		if col++; c == '\n' {
			line, col = line+1, 1
		}
	}
	return fmt.Errorf("line %d, column %d: %s", line, col, fmt.Sprintf(format, args...))
}

func (s *scanner) space() {
	for s.pos < len(s.in) {
		switch s.in[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek is the next byte that is no space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.in) {
		return s.in[s.pos]
	}
	return 0
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > schema.MaxDepth {
		return s.fail("nested deeper than %d", schema.MaxDepth)
	}
	s.nodes++
	s.pos++
	return nil
}

// end says whether a list that ends with c ends here, and takes the comma otherwise.
func (s *scanner) end(c byte, first bool) (bool, error) {
	switch next := s.peek(); {
	case next == c:
		s.pos++
		s.depth--
		return true, nil
	case first:
		return false, nil
	case next == ',':
		s.pos++
		return false, nil
	case next == 0:
		return false, s.fail("unexpected end")
	}
	return false, s.fail("found %q, want a comma or %q", s.in[s.pos], c)
}

// name reads the name of a member and the colon after it.
func (s *scanner) name() (string, error) {
	if s.peek() != '"' {
		return "", s.fail("want the name of a member")
	}
	name, err := s.str()
	if err != nil {
		return "", err
	}
	if s.peek() != ':' {
		return "", s.fail("want a colon after the name of a member")
	}
	s.pos++
	return name, nil
}

// finish checks that nothing follows.
func (s *scanner) finish() error {
	if s.peek() != 0 || s.pos < len(s.in) {
		return s.fail("something follows the value")
	}
	return nil
}

// ordered reads a value that keeps the order of members. Of members with one name the last counts, at the place of the first.
func (s *scanner) ordered() (*value, error) {
	switch c := s.peek(); c {
	case '{':
		if err := s.enter(); err != nil {
			return nil, err
		}
		v, at := &value{kind: '{'}, map[string]int{}
		for first := true; ; first = false {
			if done, err := s.end('}', first); done || err != nil {
				return v, err
			}
			name, err := s.name()
			if err != nil {
				return nil, err
			}
			child, err := s.ordered()
			if err != nil {
				return nil, err
			}
			if i, twice := at[name]; twice {
				v.members[i].v = child
				continue
			}
			at[name] = len(v.members)
			v.members = append(v.members, member{name, child})
		}
	case '[':
		if err := s.enter(); err != nil {
			return nil, err
		}
		v := &value{kind: '['}
		for first := true; ; first = false {
			if done, err := s.end(']', first); done || err != nil {
				return v, err
			}
			child, err := s.ordered()
			if err != nil {
				return nil, err
			}
			v.list = append(v.list, child)
		}
	case '"':
		text, err := s.str()
		return &value{kind: '"', text: text}, err
	case 't', 'f', 'n':
		return &value{kind: c}, s.literal(c)
	default:
		text, err := s.number()
		return &value{kind: '0', text: string(text)}, err
	}
}

// plain reads a value of the plain model.
func (s *scanner) plain() (any, error) {
	switch c := s.peek(); c {
	case '{':
		if err := s.enter(); err != nil {
			return nil, err
		}
		m := map[string]any{}
		for first := true; ; first = false {
			if done, err := s.end('}', first); done || err != nil {
				return m, err
			}
			name, err := s.name()
			if err != nil {
				return nil, err
			}
			if m[name], err = s.plain(); err != nil {
				return nil, err
			}
		}
	case '[':
		if err := s.enter(); err != nil {
			return nil, err
		}
		l := []any{}
		for first := true; ; first = false {
			if done, err := s.end(']', first); done || err != nil {
				return l, err
			}
			child, err := s.plain()
			if err != nil {
				return nil, err
			}
			l = append(l, child)
		}
	case '"':
		return s.str()
	case 't', 'f':
		return c == 't', s.literal(c)
	case 'n':
		return nil, s.literal(c)
	default:
		text, err := s.number()
		if err != nil {
			return nil, err
		}
		return plainNumber(text)
	}
}

func (s *scanner) literal(c byte) error {
	want := "null"
	switch c {
	case 't':
		want = "true"
	case 'f':
		want = "false"
	}
	if string(s.in[s.pos:min(len(s.in), s.pos+len(want))]) != want {
		return s.fail("want %s", want)
	}
	s.pos += len(want)
	return nil
}

// number reads the text of a number and checks its form and its bounds.
func (s *scanner) number() ([]byte, error) {
	start := s.pos
	digits := func() int {
		from := s.pos
		for s.pos < len(s.in) && s.in[s.pos] >= '0' && s.in[s.pos] <= '9' {
			s.pos++
		}
		return s.pos - from
	}
	next := func(set string) bool {
		if s.pos < len(s.in) && strings.IndexByte(set, s.in[s.pos]) >= 0 {
			s.pos++
			return true
		}
		return false
	}
	next("-")
	zero := s.pos < len(s.in) && s.in[s.pos] == '0'
	if n := digits(); n == 0 || zero && n > 1 {
		s.pos = start
		if start >= len(s.in) {
			return nil, s.fail("unexpected end")
		}
		return nil, s.fail("found %q, want a value", s.in[start])
	}
	if next(".") && digits() == 0 {
		return nil, s.fail("want a digit")
	}
	if next("eE") {
		next("+-")
		from := s.pos
		if digits() == 0 {
			return nil, s.fail("want a digit")
		}
		if e, err := strconv.Atoi(string(s.in[from:s.pos])); err != nil || e > maxExponent {
			return nil, s.fail("the exponent of a number is out of range")
		}
	}
	if s.pos-start > maxNumberBytes {
		return nil, s.fail("a number has more than %d characters", maxNumberBytes)
	}
	return s.in[start:s.pos], nil
}

// plainNumber is the number in the plain model: an integer as int64, or uint64 if only that holds it, anything else as float64.
func plainNumber(text []byte) (any, error) {
	if !bytes.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return i, nil
		}
		if u, err := strconv.ParseUint(string(text), 10, 64); err == nil {
			return u, nil
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, fmt.Errorf("the number %.40s is out of range", text)
	}
	return f, nil
}

// str reads a string.
func (s *scanner) str() (string, error) {
	s.pos++
	start := s.pos
	for s.pos < len(s.in) {
		switch c := s.in[s.pos]; {
		case c == '"':
			text := s.in[start:s.pos]
			if known, ok := s.names[string(text)]; ok {
				s.pos++
				return known, nil
			}
			if !utf8.Valid(text) {
				return "", s.fail("a string is not UTF-8")
			}
			s.pos++
			return string(text), nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			return "", s.fail("a control character in a string is not escaped")
		}
		s.pos++
	}
	return "", s.fail("unexpected end of a string")
}

// escaped reads on a string from its first backslash.
func (s *scanner) escaped(start int) (string, error) {
	out := slices.Clone(s.in[start:s.pos])
	for s.pos < len(s.in) {
		c := s.in[s.pos]
		s.pos++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", s.fail("a string is not UTF-8")
			}
			return string(out), nil
		case c < ' ':
			return "", s.fail("a control character in a string is not escaped")
		case c != '\\':
			out = append(out, c)
			continue
		}
		if s.pos >= len(s.in) {
			break
		}
		c = s.in[s.pos]
		s.pos++
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
			out = append(out, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			return "", s.fail("unknown escape \\%c", c)
		}
		r, err := s.hex()
		if err != nil {
			return "", err
		}
		if utf16.IsSurrogate(r) && s.pos+1 < len(s.in) && s.in[s.pos] == '\\' && s.in[s.pos+1] == 'u' {
			back := s.pos
			s.pos += 2
			low, err := s.hex()
			if err != nil {
				return "", err
			}
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				r = pair
			} else {
				s.pos = back
			}
		}
		out = utf8.AppendRune(out, r) // half of a pair becomes U+FFFD
	}
	return "", s.fail("unexpected end of a string")
}

func (s *scanner) hex() (rune, error) {
	if s.pos+4 > len(s.in) {
		return 0, s.fail("unexpected end of an escape")
	}
	n, err := strconv.ParseUint(string(s.in[s.pos:s.pos+4]), 16, 16)
	if err != nil {
		return 0, s.fail("want four hexadecimal digits")
	}
	s.pos += 4
	return rune(n), nil
}

// append writes the value without spaces, members in their order, or sorted by name.
func (v *value) append(b []byte, sorted bool) []byte {
	switch v.kind {
	case '{':
		members := v.members
		if sorted {
			members = slices.SortedFunc(slices.Values(members), func(a, b member) int { return strings.Compare(a.name, b.name) })
		}
		b = append(b, '{')
		for i, m := range members {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, m.name), ':')
			b = m.v.append(b, sorted)
		}
		return append(b, '}')
	case '[':
		b = append(b, '[')
		for i, e := range v.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.append(b, sorted)
		}
		return append(b, ']')
	case '"':
		return appendString(b, v.text)
	case 't':
		return append(b, "true"...)
	case 'f':
		return append(b, "false"...)
	case 'n':
		return append(b, "null"...)
	}
	return append(b, v.text...)
}

// appendString escapes what must be and nothing else, as Jackson does.
func appendString(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		if j := strings.IndexByte("\"\\\b\f\n\r\t", c); j >= 0 {
			b = append(b, '\\', `"\bfnrt`[j])
		} else {
			b = append(b, `\u00`...)
			b = append(b, digits[c>>4], digits[c&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}

// document is the value as the schema compiler wants it.
func (v *value) document() any {
	switch v.kind {
	case '{':
		m := make(map[string]any, len(v.members))
		for _, e := range v.members {
			m[e.name] = e.v.document()
		}
		return m
	case '[':
		l := make([]any, len(v.list))
		for i, e := range v.list {
			l[i] = e.document()
		}
		return l
	case '"':
		return v.text
	case 't', 'f':
		return v.kind == 't'
	case 'n':
		return nil
	}
	return json.Number(v.text)
}

// appendPlain writes a value of the plain model, members sorted by name.
func appendPlain(b []byte, v any, depth int) ([]byte, error) {
	if depth > schema.MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d", schema.MaxDepth)
	}
	var err error
	switch x := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case string:
		if !utf8.ValidString(x) {
			return nil, errors.New("a string is not UTF-8")
		}
		return appendString(b, x), nil
	case []byte:
		enc, err := json.Marshal(x)
		return append(b, enc...), err
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case uint64:
		return strconv.AppendUint(b, x, 10), nil
	case float64:
		return appendFloat(b, x)
	case []any:
		b = append(b, '[')
		for i, e := range x {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendPlain(b, e, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case map[string]any:
		return appendObject(b, x, depth)
	}
	return nil, fmt.Errorf("a value of type %T is not in the plain model", v)
}

func appendObject(b []byte, m map[string]any, depth int) ([]byte, error) {
	b = append(b, '{')
	for i, name := range sortedKeys(m) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		var err error
		if b, err = appendPlain(b, m[name], depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendFloat writes a float so that it is read as one again: 1.0, not 1.
func appendFloat(b []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%v is no number in JSON", f)
	}
	n := len(b)
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	b = strconv.AppendFloat(b, f, format, -1, 64)
	if format == 'f' && !slices.Contains(b[n:], '.') {
		b = append(b, ".0"...)
	}
	return b, nil
}
