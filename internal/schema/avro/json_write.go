package avro

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// appendString writes a JSON string as Jackson does: nothing is escaped that need not be.
func appendString(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				dst = append(dst, '\\', c)
			case c >= ' ':
				dst = append(dst, c)
			default:
				if j := strings.IndexByte("\b\f\n\r\t", c); j >= 0 {
					dst = append(dst, '\\', "bfnrt"[j])
				} else {
					dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
				}
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		dst = utf8.AppendRune(dst, r)
		i += size
	}
	return append(dst, '"')
}

// appendNode writes a value without white space. Numbers are written as Jackson does, which reads all that are no integers as
// doubles. Sorted puts the members of objects in the order of their names.
func appendNode(dst []byte, n *node, sorted bool) []byte {
	switch n.kind {
	case isNumber:
		if n.isInteger() {
			if n.text == "-0" {
				return append(dst, '0')
			}
			return append(dst, n.text...)
		}
		f, _ := strconv.ParseFloat(n.text, 64) //nolint:errcheck // out of range gives an infinity, which is what Jackson has too
		return appendFloat(dst, f, 64)
	case isString:
		return appendString(dst, n.text)
	case isArray:
		dst = append(dst, '[')
		for i, v := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendNode(dst, v, sorted)
		}
		return append(dst, ']')
	case isObject:
		order := make([]int, len(n.keys))
		for i := range order {
			order[i] = i
		}
		if sorted {
			slices.SortFunc(order, func(a, b int) int { return strings.Compare(n.keys[a], n.keys[b]) })
		}
		dst = append(dst, '{')
		for i, at := range order {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, n.keys[at]), ':')
			dst = appendNode(dst, n.items[at], sorted)
		}
		return append(dst, '}')
	}
	return append(dst, [...]string{isNull: "null", isFalse: "false", isTrue: "true"}[n.kind]...)
}

// appendFloat writes a number as Java's Double.toString or Float.toString does: digits from a thousandth to ten millions, an
// exponent beyond, always with a fraction. What is no number becomes a string.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	if a := math.Abs(f); a == 0 || a >= 1e-3 && a < 1e7 {
		from := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
		if bytes.IndexByte(dst[from:], '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, bits), "e")
	dst = append(dst, mantissa...)
	if !strings.Contains(mantissa, ".") {
		dst = append(dst, ".0"...)
	}
	dst = append(dst, 'E')
	if exponent[0] == '-' {
		dst = append(dst, '-')
	}
	return append(dst, strings.TrimLeft(exponent[1:], "0")...)
}
