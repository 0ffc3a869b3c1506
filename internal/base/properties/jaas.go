package properties

import (
	"errors"
	"slices"
	"strings"
)

// ParseJAAS reads the options of a login module: "class required name="value" name=value;". Errors never quote the
// text, which holds a password.
func ParseJAAS(text string) (map[string]string, error) {
	tokens, err := jaasTokens(text)
	if err != nil {
		return nil, err
	}
	if len(tokens) < 2 {
		return nil, errors.New("want a login module, a flag such as required, and options")
	}
	if !slices.Contains([]string{"required", "requisite", "sufficient", "optional"}, strings.ToLower(tokens[1])) {
		return nil, errors.New("after the login module want required, requisite, sufficient or optional")
	}
	out := map[string]string{}
	rest := tokens[2:]
	for len(rest) > 0 && rest[0] != ";" {
		if len(rest) < 3 || rest[1] != "=" {
			return nil, errors.New("options must have the form name=\"value\"")
		}
		out[rest[0]] = strings.TrimPrefix(rest[2], `"`)
		rest = rest[3:]
	}
	if len(rest) != 1 {
		return nil, errors.New("one login module must end with a semicolon")
	}
	return out, nil
}

// jaasTokens splits text into words, quoted strings (marked by a leading quote), "=" and ";".
func jaasTokens(text string) ([]string, error) {
	var tokens []string
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '=' || c == ';':
			tokens = append(tokens, string(c))
			i++
		case c == '"':
			value := []byte{'"'}
			i++
			for i < len(text) && text[i] != '"' {
				if text[i] == '\\' && i+1 < len(text) {
					i++
				}
				value = append(value, text[i])
				i++
			}
			if i == len(text) {
				return nil, errors.New("a quoted value has no end")
			}
			i++
			tokens = append(tokens, string(value))
		default:
			start := i
			for i < len(text) && strings.IndexByte(" \t\r\n=;\"", text[i]) < 0 {
				i++
			}
			tokens = append(tokens, text[start:i])
		}
	}
	return tokens, nil
}
