package auth

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// attributeNames are those that RFC 2253 gives short names; others are written as numbers.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// distinguishedName writes a subject as Java's X500Principal.getName does, which is what ACLs and mapping rules were written
// for: RFC 2253, the last part first, without spaces between parts.
func distinguishedName(raw []byte) (string, error) {
	var parts []asn1.RawValue
	if rest, err := asn1.Unmarshal(raw, &parts); err != nil || len(rest) > 0 {
		return "", errors.New("not a distinguished name")
	}
	var out []string
	for _, part := range slices.Backward(parts) {
		var set []attribute
		if _, err := asn1.UnmarshalWithParams(part.FullBytes, &set, "set"); err != nil {
			return "", errors.New("not a distinguished name")
		}
		var values []string
		for _, a := range set {
			values = append(values, a.String())
		}
		out = append(out, strings.Join(values, "+"))
	}
	return strings.Join(out, ","), nil
}

// String is name=value, the value escaped; of an attribute without a name, number=#hex.
func (a attribute) String() string {
	name, ok := attributeNames[a.Type.String()]
	var text string
	if _, err := asn1.Unmarshal(a.Value.FullBytes, &text); !ok || err != nil {
		if !ok {
			name = a.Type.String()
		}
		return name + "=#" + hex.EncodeToString(a.Value.FullBytes)
	}
	return name + "=" + escapeValue(text)
}

// escapeValue is section 2.4 of RFC 2253.
func escapeValue(s string) string {
	var b strings.Builder
	for i, r := range s {
		first, last := i == 0, i+len(string(r)) == len(s)
		if strings.ContainsRune(`,+"\<>;`, r) || r == ' ' && (first || last) || r == '#' && first {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// mapping makes the name of a principal out of a distinguished name.
type mapping []mappingRule

type mappingRule struct {
	pattern *regexp.Regexp // nil: DEFAULT
	replace string         // in the form of regexp.Expand
	letters byte           // 'L', 'U' or 0
}

// maxMappingBytes bounds the rules.
const maxMappingBytes = 64 << 10

func checkMapping(v any) error {
	text, _ := v.(string)
	_, err := parseMapping(text)
	return err
}

// parseMapping reads rules, separated by commas: DEFAULT, or RULE:pattern/replacement/ with L or U for small or capital
// letters behind it. A slash in pattern or replacement is escaped by a backslash. Patterns are Java's as far as RE2 goes: no
// look-around and no references to groups inside of them, so that no pattern takes long.
func parseMapping(text string) (mapping, error) {
	if len(text) > maxMappingBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxMappingBytes)
	}
	var out mapping
	rest := strings.TrimSpace(text)
	for rest != "" {
		if after, ok := strings.CutPrefix(rest, "DEFAULT"); ok {
			out = append(out, mappingRule{})
			rest = after
		} else {
			r, after, err := parseRule(rest)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
			rest = after
		}
		rest = strings.TrimSpace(rest)
		if rest == "" {
			break
		}
		after, ok := strings.CutPrefix(rest, ",")
		if !ok {
			return nil, fmt.Errorf("want a comma before %q", rest)
		}
		rest = strings.TrimSpace(after)
	}
	if len(out) == 0 {
		return mapping{{}}, nil
	}
	return out, nil
}

func parseRule(text string) (r mappingRule, rest string, err error) {
	body, ok := strings.CutPrefix(text, "RULE:")
	if !ok {
		return r, "", fmt.Errorf("want DEFAULT or RULE:… at %q", text)
	}
	pattern, body, ok1 := cutSlash(body)
	replacement, body, ok2 := cutSlash(body)
	if !ok1 || !ok2 {
		return r, "", fmt.Errorf("rule %q is not of the form RULE:pattern/replacement/", text)
	}
	if body != "" && (body[0] == 'L' || body[0] == 'U') {
		r.letters, body = body[0], body[1:]
	}
	if r.pattern, err = regexp.Compile(`^(?:` + pattern + `)$`); err != nil {
		return r, "", fmt.Errorf("pattern %q: %w", pattern, err)
	}
	r.replace = goTemplate(replacement)
	return r, body, nil
}

// cutSlash cuts at the first slash without a backslash before it, and takes that backslash away elsewhere.
func cutSlash(s string) (before, after string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			if s[i+1] != '/' {
				b.WriteByte('\\')
			}
			i++
			b.WriteByte(s[i])
		case s[i] == '/':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// goTemplate turns Java's references, $1, into ${1}, and everything else into plain text.
func goTemplate(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			if s[i] == '$' {
				b.WriteByte('$')
			}
			b.WriteByte(s[i])
		case s[i] == '$' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			i++
			fmt.Fprintf(&b, "${%c}", s[i])
		case s[i] == '$':
			b.WriteString("$$")
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// name maps a distinguished name by the first rule that matches all of it.
func (m mapping) name(dn string) (string, error) {
	for _, r := range m {
		if r.pattern == nil {
			return dn, nil
		}
		groups := r.pattern.FindStringSubmatchIndex(dn)
		if groups == nil {
			continue
		}
		name := string(r.pattern.ExpandString(nil, r.replace, dn, groups))
		switch r.letters {
		case 'L':
			name = strings.ToLower(name)
		case 'U':
			name = strings.ToUpper(name)
		}
		return name, nil
	}
	return "", errNoRule
}
