package peer

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// value is a parsed literal of a scene: word, text, list, object or call.
type value any

type (
	word   string   // an unquoted word: a number, a name, true, null, $variable, text with $variables in it
	text   string   // a quoted string, in which nothing is replaced
	list   []value  // [a, b]
	object []field  // {Name: value}
	call   struct { // name(arguments) or name{fields}
		name string
		args list
	}
	field struct {
		name  string
		value value
	}
)

// parser reads literals. Its grammar is JSON's with unquoted words and calls; commas are separators like white space.
type parser struct {
	src string
	pos int
}

var errEnd = errors.New("unexpected end")

// parseValue parses the whole of src as one value.
func parseValue(src string) (value, error) {
	p := &parser{src: src}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(p.src) {
		return nil, fmt.Errorf("unexpected %q after the value", p.src[p.pos:])
	}
	return v, nil
}

func (p *parser) space() {
	for p.pos < len(p.src) && (unicode.IsSpace(rune(p.src[p.pos])) || p.src[p.pos] == ',') {
		p.pos++
	}
}

func (p *parser) value() (value, error) {
	p.space()
	if p.pos >= len(p.src) {
		return nil, errEnd
	}
	switch p.src[p.pos] {
	case '{':
		p.pos++
		return p.object()
	case '[':
		p.pos++
		return p.list(']')
	case '"':
		return p.quoted()
	}
	w := p.word()
	if w == "" {
		return nil, fmt.Errorf("unexpected %q", p.src[p.pos:])
	}
	if p.pos < len(p.src) && p.src[p.pos] == '(' {
		p.pos++
		args, err := p.list(')')
		return call{w, args}, err
	}
	if p.pos < len(p.src) && p.src[p.pos] == '{' {
		p.pos++
		fields, err := p.object()
		return call{w, list{fields}}, err
	}
	return word(w), nil
}

func (p *parser) word() string {
	start := p.pos
	for p.pos < len(p.src) && !strings.ContainsRune(" \t\n,:{}[]()\"", rune(p.src[p.pos])) {
		p.pos++
	}
	return p.src[start:p.pos]
}

func (p *parser) quoted() (value, error) {
	p.pos++
	end := strings.IndexByte(p.src[p.pos:], '"')
	if end < 0 {
		return nil, errors.New("missing closing quote")
	}
	s := p.src[p.pos : p.pos+end]
	p.pos += end + 1
	return text(s), nil
}

func (p *parser) list(closing byte) (list, error) {
	vs := list{}
	for {
		if p.space(); p.pos >= len(p.src) {
			return nil, errEnd
		}
		if p.src[p.pos] == closing {
			p.pos++
			return vs, nil
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
}

func (p *parser) object() (object, error) {
	fields := object{}
	for {
		if p.space(); p.pos >= len(p.src) {
			return nil, errEnd
		}
		if p.src[p.pos] == '}' {
			p.pos++
			return fields, nil
		}
		name := p.word()
		if p.space(); name == "" || p.pos >= len(p.src) || p.src[p.pos] != ':' {
			return nil, fmt.Errorf("want a field name and a colon at %q", p.src[p.pos:])
		}
		p.pos++
		v, err := p.value()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		fields = append(fields, field{name, v})
	}
}
