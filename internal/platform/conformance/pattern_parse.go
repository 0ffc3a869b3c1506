package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

var kinds = []string{"any", "int", "number", "text", "bool", "list", "object", "some", "absent", "empty"}

// patternParser reads a pattern. The text is our own; so errors are for whoever writes cases.
type patternParser struct {
	text string
	at   int
}

func parsePattern(text string) (pattern, error) {
	p := &patternParser{text: text}
	out, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(text) {
		return nil, fmt.Errorf("%q is left over", text[p.at:])
	}
	return out, nil
}

func (p *patternParser) space() {
	for p.at < len(p.text) && strings.ContainsRune(" \t\n", rune(p.text[p.at])) {
		p.at++
	}
}

func (p *patternParser) peek() byte {
	p.space()
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *patternParser) expect(c byte) error {
	if p.peek() != c {
		return fmt.Errorf("%q is missing before %q", c, p.text[p.at:])
	}
	p.at++
	return nil
}

func (p *patternParser) value() (pattern, error) {
	switch c := p.peek(); {
	case c == 0:
		return nil, errors.New("a pattern is missing")
	case c == '{':
		return p.object(false)
	case c == '[':
		return p.list("")
	case c == '"', c == '`':
		s, err := p.str()
		return literal{s}, err
	case c == '<':
		end := strings.IndexByte(p.text[p.at:], '>')
		if end < 0 {
			return nil, errors.New("> is missing")
		}
		name := p.text[p.at+1 : p.at+end]
		p.at += end + 1
		return nameP{name}, nil
	case c == '-', c >= '0' && c <= '9':
		start := p.at
		for p.at < len(p.text) && strings.IndexByte("+-.0123456789eE", p.text[p.at]) >= 0 {
			p.at++
		}
		return literal{json.Number(p.text[start:p.at])}, nil
	}
	return p.word()
}

func (p *patternParser) word() (pattern, error) {
	start := p.at
	for p.at < len(p.text) && (p.text[p.at] >= 'a' && p.text[p.at] <= 'z' || p.text[p.at] >= 'A' && p.text[p.at] <= 'Z' || p.text[p.at] >= '0' && p.text[p.at] <= '9') {
		p.at++
	}
	word := p.text[start:p.at]
	if word != "" && p.at < len(p.text) && p.text[p.at] == '=' {
		p.at++
		of, err := p.value()
		return captureP{word, of}, err
	}
	switch word {
	case "true", "false":
		return literal{word == "true"}, nil
	case "null":
		return literal{nil}, nil
	case "only":
		return p.object(true)
	case "maybe":
		of, err := p.value()
		return maybeP{of}, err
	case "set", "has", "lacks":
		return p.list(word)
	case "like", "json", "plain":
		if c := p.peek(); c != '"' && c != '`' {
			return nil, fmt.Errorf("%s is not followed by a text", word)
		}
		s, err := p.str()
		switch word {
		case "like":
			return likeP{s}, err
		case "json":
			return jsonP{s}, err
		}
		return plainP{s}, err
	}
	if slices.Contains(kinds, word) {
		return kindP{word}, nil
	}
	return nil, fmt.Errorf("unknown word at %q", p.text[start:])
}

// str reads a JSON string or a text in back quotes.
func (p *patternParser) str() (string, error) {
	if p.peek() == '`' {
		end := strings.IndexByte(p.text[p.at+1:], '`')
		if end < 0 {
			return "", errors.New("a back quote is not closed")
		}
		s := p.text[p.at+1 : p.at+1+end]
		p.at += end + 2
		return trimBlock(s), nil
	}
	dec := json.NewDecoder(strings.NewReader(p.text[p.at:]))
	var s string
	if err := dec.Decode(&s); err != nil {
		return "", fmt.Errorf("string at %q: %w", p.text[p.at:], err)
	}
	p.at += int(dec.InputOffset())
	return s, nil
}

func (p *patternParser) object(only bool) (pattern, error) {
	out := objectP{members: map[string]pattern{}, only: only}
	if err := p.expect('{'); err != nil {
		return nil, err
	}
	for p.peek() != '}' {
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if err := p.expect(':'); err != nil {
			return nil, err
		}
		if out.members[key], err = p.value(); err != nil {
			return nil, err
		}
		if p.peek() == ',' {
			p.at++
		} else if p.peek() != '}' {
			return nil, fmt.Errorf("a comma is missing before %q", p.text[p.at:])
		}
	}
	p.at++
	return out, nil
}

func (p *patternParser) list(kind string) (pattern, error) {
	out := listP{kind: kind}
	if err := p.expect('['); err != nil {
		return nil, err
	}
	for p.peek() != ']' {
		item, err := p.value()
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, item)
		if p.peek() == ',' {
			p.at++
		} else if p.peek() != ']' {
			return nil, fmt.Errorf("a comma is missing before %q", p.text[p.at:])
		}
	}
	p.at++
	return out, nil
}
