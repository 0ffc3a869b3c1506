package avro

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// node is a JSON value as it was written: members of objects keep their order and numbers their digits, which encoding/json
// would lose. Of members with the same name the last one counts, at the place of the first, as in Confluent's parser.
type node struct {
	kind  nodeKind
	text  string   // of strings, decoded; of numbers, as written
	keys  []string // of objects, beside items
	items []*node  // of arrays and objects
	at    int      // position in the text, in bytes
}

type nodeKind uint8

const (
	isNull nodeKind = iota
	isFalse
	isTrue
	isNumber
	isString
	isArray
	isObject
)

func (k nodeKind) String() string {
	return [...]string{"null", "false", "true", "a number", "a string", "an array", "an object"}[k]
}

// get returns a member of an object, nil if there is none or the node is no object.
func (n *node) get(key string) *node {
	if i := slices.Index(n.keys, key); i >= 0 {
		return n.items[i]
	}
	return nil
}

// string returns the text of a member that is a string.
func (n *node) string(key string) (string, bool) {
	if m := n.get(key); m != nil && m.kind == isString {
		return m.text, true
	}
	return "", false
}

// isInteger tells whether a number is written without fraction and exponent.
func (n *node) isInteger() bool { return n.kind == isNumber && !strings.ContainsAny(n.text, ".eE") }

// jsonParser reads one JSON value. Comments are passed over, as in Avro's own parsers.
type jsonParser struct {
	in       []byte
	pos      int
	depth    int
	maxDepth int
	left     *int // values that may still come
}

// parseJSON reads in, which holds one value and nothing else. Depth and number of values are bounded; left is counted down.
func parseJSON(in []byte, maxDepth int, left *int) (*node, error) {
	p := &jsonParser{in: in, maxDepth: maxDepth, left: left}
	n, err := p.value()
	if err == nil {
		p.space()
		if p.pos < len(p.in) {
			err = errors.New("more follows where the text should end")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place(in, p.pos), err)
	}
	return n, nil
}

// place names a position in a text to a person.
func place(text []byte, at int) string {
	return fmt.Sprintf("line %d, column %d", 1+bytes.Count(text[:at], []byte{'\n'}), at-bytes.LastIndexByte(text[:at], '\n'))
}

// space passes over white space and comments. One that does not end leaves its slash to be refused.
func (p *jsonParser) space() {
	for p.pos < len(p.in) {
		rest := p.in[p.pos:]
		switch {
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\n' || rest[0] == '\r':
			p.pos++
		case bytes.HasPrefix(rest, []byte("//")):
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			p.pos += end
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest[2:], []byte("*/"))
			if end < 0 {
				return
			}
			p.pos += end + 4
		default:
			return
		}
	}
}

// peek returns the next byte that is no white space, 0 at the end.
func (p *jsonParser) peek() byte {
	p.space()
	if p.pos == len(p.in) {
		return 0
	}
	return p.in[p.pos]
}

func (p *jsonParser) value() (*node, error) {
	if *p.left--; *p.left < 0 {
		return nil, errors.New("too many values")
	}
	c := p.peek()
	n := &node{at: p.pos}
	var err error
	switch {
	case c == '{' || c == '[':
		if p.depth++; p.depth > p.maxDepth {
			return nil, fmt.Errorf("nested deeper than %d", p.maxDepth)
		}
		n.kind = isArray
		if c == '{' {
			n.kind = isObject
		}
		err = p.members(n, c+2) // ']' and '}' stand two after their opening
		p.depth--
	case c == '"':
		n.kind = isString
		n.text, err = p.str()
	case c == '-' || c >= '0' && c <= '9':
		n.kind = isNumber
		n.text, err = p.number()
	case c == 0 && p.pos == len(p.in):
		err = errors.New("the text ends too early")
	default:
		for kind, word := range map[nodeKind]string{isNull: "null", isTrue: "true", isFalse: "false"} {
			if bytes.HasPrefix(p.in[p.pos:], []byte(word)) {
				p.pos += len(word)
				n.kind = kind
				return n, nil
			}
		}
		err = fmt.Errorf("unexpected %q", p.in[p.pos])
	}
	return n, err
}

// members reads what stands between the brackets of an array or object.
func (p *jsonParser) members(n *node, end byte) error {
	p.pos++
	var seen map[string]int // of large objects
	for first := true; ; first = false {
		c := p.peek()
		if c == end && first {
			p.pos++
			return nil
		}
		if !first {
			switch c {
			case ',':
				p.pos++
			case end:
				p.pos++
				return nil
			default:
				return fmt.Errorf("want , or %c", end)
			}
		}
		key := ""
		if n.kind == isObject {
			if p.peek() != '"' {
				return errors.New("want the name of a member in quotes")
			}
			var err error
			if key, err = p.str(); err != nil {
				return err
			}
			if p.peek() != ':' {
				return errors.New("want : after the name of a member")
			}
			p.pos++
		}
		v, err := p.value()
		if err != nil {
			return err
		}
		if n.kind == isArray {
			n.items = append(n.items, v)
			continue
		}
		seen = n.put(key, v, seen)
	}
}

// put sets a member. Objects beyond a few members look names up in seen, which it returns.
func (n *node) put(key string, v *node, seen map[string]int) map[string]int {
	const few = 16
	i := -1
	if seen != nil {
		if known, ok := seen[key]; ok {
			i = known
		}
	} else {
		i = slices.Index(n.keys, key)
	}
	if i >= 0 {
		n.items[i] = v
		return seen
	}
	n.keys, n.items = append(n.keys, key), append(n.items, v)
	if seen == nil && len(n.keys) == few {
		seen = map[string]int{}
		for i, k := range n.keys {
			seen[k] = i
		}
	} else if seen != nil {
		seen[key] = len(n.keys) - 1
	}
	return seen
}

func (p *jsonParser) number() (string, error) {
	start := p.pos
	digits := func() bool {
		from := p.pos
		for p.pos < len(p.in) && p.in[p.pos] >= '0' && p.in[p.pos] <= '9' {
			p.pos++
		}
		return p.pos > from
	}
	next := func(set string) bool {
		if p.pos < len(p.in) && strings.IndexByte(set, p.in[p.pos]) >= 0 {
			p.pos++
			return true
		}
		return false
	}
	next("-")
	zero := next("0")
	ok := zero || digits()
	if ok && next(".") {
		ok = digits()
	}
	if ok && next("eE") {
		next("+-")
		ok = digits()
	}
	if !ok || p.pos-start > 1000 {
		return "", errors.New("not a number")
	}
	return string(p.in[start:p.pos]), nil
}

func (p *jsonParser) str() (string, error) {
	p.pos++
	start := p.pos
	for p.pos < len(p.in) {
		switch c := p.in[p.pos]; {
		case c == '"':
			raw := p.in[start:p.pos]
			p.pos++
			if !utf8.Valid(raw) {
				return "", errors.New("a string is not UTF-8")
			}
			return string(raw), nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", errors.New("a control character within a string")
		}
		p.pos++
	}
	return "", errors.New("a string does not end")
}

// escaped reads on where the first backslash of a string stands.
func (p *jsonParser) escaped(start int) (string, error) {
	out := slices.Clone(p.in[start:p.pos])
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		switch {
		case c == '"':
			p.pos++
			if !utf8.Valid(out) {
				return "", errors.New("a string is not UTF-8")
			}
			return string(out), nil
		case c < ' ':
			return "", errors.New("a control character within a string")
		case c != '\\':
			out = append(out, c)
			p.pos++
			continue
		}
		if p.pos+1 == len(p.in) {
			break
		}
		p.pos += 2
		if c = p.in[p.pos-1]; c == 'u' {
			r, err := p.unicode()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		i := strings.IndexByte(`"\/bfnrt`, c)
		if i < 0 {
			return "", fmt.Errorf("unknown escape \\%c", c)
		}
		out = append(out, "\"\\/\b\f\n\r\t"[i])
	}
	return "", errors.New("a string does not end")
}

// unicode reads the four digits after \u, and the second half of a pair. A half without its other is U+FFFD.
func (p *jsonParser) unicode() (rune, error) {
	hex := func(at int) (rune, bool) {
		if at+4 > len(p.in) {
			return 0, false
		}
		v, err := strconv.ParseUint(string(p.in[at:at+4]), 16, 16)
		return rune(v), err == nil
	}
	r, ok := hex(p.pos)
	if !ok {
		return 0, errors.New("want four hexadecimal digits after \\u")
	}
	p.pos += 4
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if bytes.HasPrefix(p.in[p.pos:], []byte(`\u`)) {
		if low, ok := hex(p.pos + 2); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				p.pos += 6
				return pair, nil
			}
		}
	}
	return utf8.RuneError, nil
}
