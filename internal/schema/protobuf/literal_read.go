package protobuf

import "strings"

// readLiteral reads the inside of a message literal as the parser left it: its tokens with a space between any two, comments gone. What
// it does not understand stays as it is, on one line.
func readLiteral(text string) literal {
	r := literalReader{tokens: literalTokens(text)}
	l, ok := r.message("")
	if !ok || r.at != len(r.tokens) {
		if text == "" {
			return literal{message: true}
		}
		return literal{scalar: "{ " + text + " }"}
	}
	return l
}

// literalTokens splits a text into words, numbers, strings and signs. A name with dots and slashes is as many tokens as it has parts.
func literalTokens(text string) []string {
	var tokens []string
	for i := 0; i < len(text); {
		start := i
		switch c := text[i]; {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			i++
			continue
		case c == '"' || c == '\'':
			i = min(pastString(text, i), len(text))
		case wordByte(c) || c == '.':
			for i < len(text) && (wordByte(text[i]) || text[i] == '.' || exponentSign(text, start, i)) {
				i++
			}
		default:
			i++
		}
		tokens = append(tokens, text[start:i])
	}
	return tokens
}

// exponentSign says whether the byte at i is the sign in a number like 1e-7.
func exponentSign(text string, start, i int) bool {
	return (text[i] == '-' || text[i] == '+') && i > start && (text[i-1] == 'e' || text[i-1] == 'E') &&
		(text[start] >= '0' && text[start] <= '9' || text[start] == '.')
}

// literalReader reads tokens. Its depth is that of the brackets in the text, which scan has bounded.
type literalReader struct {
	tokens []string
	at     int
}

func (r *literalReader) peek() string {
	if r.at < len(r.tokens) {
		return r.tokens[r.at]
	}
	return ""
}

func (r *literalReader) take(token string) bool {
	if token == "" || r.peek() != token {
		return false
	}
	r.at++
	return true
}

// message reads fields up to the closing token, which it takes; the outermost message ends with the text.
func (r *literalReader) message(closing string) (literal, bool) {
	l := literal{message: true}
	for {
		if r.at == len(r.tokens) {
			return l, closing == ""
		}
		if r.take(closing) {
			return l, true
		}
		name, ok := r.name()
		if !ok {
			return l, false
		}
		colon := r.take(":")
		if next := r.peek(); !colon && next != "{" && next != "<" && next != "[" {
			return l, false
		}
		v, ok := r.value()
		if !ok {
			return l, false
		}
		l.fields = append(l.fields, member{name, v})
		_ = r.take(",") || r.take(";") // either may stand between fields, or none
	}
}

// name reads the name of a field, or of an extension or a type in brackets.
func (r *literalReader) name() (string, bool) {
	if !r.take("[") {
		name := r.peek()
		r.at++
		return name, name != "" && wordByte(name[0])
	}
	var b strings.Builder
	for r.at < len(r.tokens) && r.peek() != "]" {
		b.WriteString(r.peek())
		r.at++
	}
	return "[" + b.String() + "]", r.take("]")
}

func (r *literalReader) value() (literal, bool) {
	switch {
	case r.take("{"):
		return r.message("}")
	case r.take("<"):
		return r.message(">")
	case r.take("["):
		return r.elements()
	default:
		return r.scalar()
	}
}

func (r *literalReader) elements() (literal, bool) {
	l := literal{list: true}
	if r.take("]") {
		return l, true
	}
	for {
		v, ok := r.value()
		if !ok {
			return l, false
		}
		l.elements = append(l.elements, v)
		if r.take("]") {
			return l, true
		}
		if !r.take(",") {
			return l, false
		}
	}
}

// scalar reads a word or a number with its sign, or strings, of which neighbours are one.
func (r *literalReader) scalar() (literal, bool) {
	sign := ""
	if r.take("-") {
		sign = "-"
	}
	first := r.peek()
	if first == "" {
		return literal{}, false
	}
	if quoted(first) {
		var parts []string
		for quoted(r.peek()) {
			parts = append(parts, r.peek())
			r.at++
		}
		return literal{scalar: strings.Join(parts, " ")}, sign == ""
	}
	r.at++
	return literal{scalar: sign + first}, wordByte(first[0]) || first[0] == '.'
}

func quoted(token string) bool { return token != "" && (token[0] == '"' || token[0] == '\'') }
