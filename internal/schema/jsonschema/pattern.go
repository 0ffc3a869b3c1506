package jsonschema

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dlclark/regexp2/v2"
	js "github.com/santhosh-tekuri/jsonschema/v6"
)

// pattern is a compiled pattern of ECMA 262: one expression of RE2; or several, all of which must, or must not, match; or one of an engine that goes back, if RE2 has
// no means for it; or none, then nobody knows what matches.
//
// Going back takes a time that can grow with the power of the text. So a match has some hundredths of a second, and all matches of a pattern together have a second,
// which comes back at a rate of a quarter of a core. A pattern that has used that up, or of which one match took too long, rests: meanwhile nobody knows
// what it matches. So it costs a quarter of a core at most, whoever sends the texts and however many (docs/design/0034).
type pattern struct {
	text  string
	re    *regexp.Regexp
	parts []part
	slow  *regexp2.Regexp
	// owes is when all time that was used has come back, in nanoseconds since 1970.
	owes atomic.Int64
}

// part is an expression that must match, or must not.
type part struct {
	re   *regexp.Regexp
	must bool
}

// Bounds of patterns that go back.
const (
	slowTime      = 20 * time.Millisecond // of a match; the engine looks at its clock every 0.1 s at worst
	slowBurst     = time.Second           // of all matches without a pause
	slowShare     = 4                     // in so much time, one of it comes back
	slowRest      = 10 * time.Second      // after a match that took too long
	slowTextBytes = 64 << 10              // texts that are longer do not match
	slowPattern   = 4 << 10               // bytes of a pattern; its parser calls itself for each bracket
	slowStack     = 1 << 20               // slots of four or eight bytes
	maxLookaheads = 16
)

// String implements the compiler's interface.
func (p *pattern) String() string { return p.text }

// MatchString implements the compiler's interface: what nobody knows matches.
func (p *pattern) MatchString(s string) bool {
	matches, known := p.match(s)
	return matches || !known
}

// has tells whether a text is known to match.
func (p *pattern) has(s string) bool {
	matches, known := p.match(s)
	return matches && known
}

// match tells whether a text matches, if that is known.
func (p *pattern) match(s string) (matches, known bool) {
	switch {
	case p.re != nil:
		return p.re.MatchString(s), true
	case p.parts != nil:
		for _, part := range p.parts {
			if part.re.MatchString(s) != part.must {
				return false, true
			}
		}
		return true, true
	case p.slow == nil:
		return false, false
	case len(s) > slowTextBytes:
		return false, true
	}
	return p.goBack(s, time.Now())
}

// goBack runs the engine that does.
func (p *pattern) goBack(s string, now time.Time) (matches, known bool) {
	if p.owes.Load()-now.UnixNano() > int64(slowShare*slowBurst) {
		return false, false
	}
	matches, err := p.slow.MatchString(s)
	used := slowShare * time.Since(now)
	if err != nil { // time or stack ran out
		used = slowShare*slowBurst + slowRest
	}
	for {
		old := p.owes.Load()
		if p.owes.CompareAndSwap(old, max(old, now.UnixNano())+int64(used)) {
			return matches && err == nil, true
		}
	}
}

// escapes of ECMA 262 that RE2 writes differently.
var unicodeEscape = regexp.MustCompile(`\\u([0-9a-fA-F]{4})|\\u\{([0-9a-fA-F]{1,6})\}|\\c([A-Za-z])|\\[\s\S]`)

func compilePattern(text string) (js.Regexp, error) {
	translated := unicodeEscape.ReplaceAllStringFunc(text, func(e string) string {
		switch m := unicodeEscape.FindStringSubmatch(e); {
		case m[1] != "" || m[2] != "":
			return `\x{` + m[1] + m[2] + `}`
		case m[3] != "":
			return fmt.Sprintf(`\x%02x`, m[3][0]&31)
		}
		return e
	})
	re, err := regexp.Compile(translated)
	switch {
	case err == nil:
		return &pattern{text: text, re: re}, nil
	case !beyondRE2(text, err):
		return nil, err
	}
	if parts := lookaheads(translated); parts != nil {
		return &pattern{text: text, parts: parts}, nil
	}
	return &pattern{text: text, slow: compileSlow(text)}, nil
}

// beyondRE2 tells whether a pattern that RE2 refuses may be one of ECMA 262 all the same.
func beyondRE2(text string, err error) bool {
	e, ok := errors.AsType[*syntax.Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case syntax.ErrInvalidPerlOp, syntax.ErrInvalidEscape, syntax.ErrInvalidRepeatSize, syntax.ErrLarge, syntax.ErrNestingDepth, syntax.ErrInvalidCharRange:
		return true
	case syntax.ErrInvalidNamedCapture:
		return strings.Contains(text, "(?<=") || strings.Contains(text, "(?<!")
	}
	return false
}

// compileSlow compiles for the engine that goes back; nil if it does not take the pattern.
func compileSlow(text string) *regexp2.Regexp {
	if len(text) > slowPattern {
		return nil
	}
	for _, options := range []regexp2.RegexOptions{regexp2.ECMAScript | regexp2.Unicode, regexp2.ECMAScript} {
		if re, err := regexp2.Compile(text, options, regexp2.OptionMaxBacktrackingStackSize(slowStack)); err == nil {
			re.MatchTimeout = slowTime
			return re
		}
	}
	return nil
}

// lookaheads takes apart what begins by looking ahead from the start of the text, as rules for passwords do: ^(?=A)(?!B)C matches a text that each of ^A and ^C
// matches, and ^B does not. It returns nil for a pattern that is not like that, or of which RE2 cannot run a part.
func lookaheads(text string) []part {
	rest, ok := strings.CutPrefix(text, "^")
	if !ok {
		return nil
	}
	var parts []part
	add := func(expr string, must bool) bool {
		re, err := regexp.Compile("^(?:" + expr + ")")
		parts = append(parts, part{re, must})
		return err == nil && len(parts) <= maxLookaheads
	}
	for strings.HasPrefix(rest, "(?=") || strings.HasPrefix(rest, "(?!") {
		end, _ := span(rest)
		if end < 0 || end < len(rest) && strings.IndexByte("*+?{", rest[end]) >= 0 || !add(rest[3:end-1], rest[2] == '=') {
			return nil
		}
		rest = rest[end:]
	}
	if end, alternatives := span("(" + rest + ")"); parts == nil || end != len(rest)+2 || alternatives || !add(rest, true) {
		return nil
	}
	return parts
}

// span finds the end of the group that a text begins with, -1 if it has none, and whether there are alternatives in the group itself.
func span(text string) (end int, alternatives bool) {
	depth, class := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == '|' && depth == 1:
			alternatives = true
		case c == ')':
			if depth--; depth == 0 {
				return i + 1, alternatives
			}
		}
	}
	return -1, alternatives
}
