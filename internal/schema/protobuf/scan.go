package protobuf

import (
	"encoding/base64"
	"fmt"

	"github.com/weir-stream/weir/internal/schema"
)

// maxTokens bounds what a text of 16 MiB can make of memory: parsing takes up to a kilobyte for each word, sign or comment. The largest
// files in the field, those of public clouds, have half as many.
const maxTokens = 1 << 19

// scan says whether a text is fit for the parser, which recurses with the nesting of brackets: no deeper than schema.MaxDepth, and no
// more than maxTokens words, numbers, strings, signs and comments. It knows just enough of the language to pass over strings and comments;
// whether the rest is right is the parser's to say. It returns the number of tokens.
func scan(text string) (int, error) {
	depth, tokens := 0, 0
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			i++
			continue
		case c == '/' && i+1 < len(text) && (text[i+1] == '/' || text[i+1] == '*'):
			i = pastComment(text, i)
		case c == '"' || c == '\'':
			i = pastString(text, i)
		case wordByte(c):
			for i < len(text) && wordByte(text[i]) {
				i++
			}
		default:
			switch c {
			case '{', '[', '(', '<':
				depth++
			case '}', ']', ')', '>':
				depth = max(depth-1, 0)
			}
			i++
		}
		tokens++
		if depth > schema.MaxDepth {
			return 0, fmt.Errorf("brackets within brackets, more than %d deep", schema.MaxDepth)
		}
		if tokens > maxTokens {
			return 0, fmt.Errorf("more than %d words and signs", maxTokens)
		}
	}
	return tokens, nil
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

// pastComment returns the index behind the comment that begins at i.
func pastComment(text string, i int) int {
	block := text[i+1] == '*'
	for i += 2; i < len(text); i++ {
		if !block && text[i] == '\n' {
			return i + 1
		}
		if block && text[i] == '*' && i+1 < len(text) && text[i+1] == '/' {
			return i + 2
		}
	}
	return i
}

// pastString returns the index behind the string that begins at i. A string ends with its line at the latest.
func pastString(text string, i int) int {
	quote := text[i]
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case quote, '\n':
			return i + 1
		}
	}
	return i
}

// fromBase64 decodes a text that can be nothing but base64: a .proto file has signs that base64 does not.
func fromBase64(text string) ([]byte, bool) {
	for i := range len(text) {
		if c := text[i]; !(wordByte(c) && c != '_' && c < 0x80) && c != '+' && c != '/' && c != '=' && c != '\n' && c != '\r' {
			return nil, false
		}
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
		if b, err := e.DecodeString(text); err == nil && len(b) > 0 {
			return b, true
		}
	}
	return nil, false
}
