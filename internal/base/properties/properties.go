// Package properties reads the files that Java programs keep their settings in: the format of java.util.Properties. What
// the keys mean is for the caller to know.
package properties

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf16"
)

// MaxBytes bounds a properties file.
const MaxBytes = 1 << 20

// Load reads a file such as Java's client.properties.
func Load(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	properties, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return properties, nil
}

// Parse reads the format of java.util.Properties: "key=value", "key: value" or "key value" a line; comments
// after # or !; a backslash at the end joins the next line; escapes \t \n \r \f \uXXXX, and the backslash before any other
// character stands for that. Text is UTF-8. Of a key that comes twice the last value counts. An error tells the line
// and never the value.
func Parse(r io.Reader) (map[string]string, error) {
	limited := &io.LimitedReader{R: r, N: MaxBytes + 1}
	in := bufio.NewScanner(limited)
	in.Buffer(make([]byte, 0, 4<<10), MaxBytes+1)
	in.Split(splitLines)
	out := map[string]string{}
	number := 0
	for in.Scan() {
		number++
		start := number
		line := strings.TrimLeft(in.Text(), " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) {
			line = line[:len(line)-1]
			if !in.Scan() {
				break
			}
			number++
			line += strings.TrimLeft(in.Text(), " \t\f")
		}
		rawKey, rawValue := splitProperty(line)
		key, err := unescape(rawKey)
		if err != nil {
			return nil, fmt.Errorf("line %d: key: %w", start, err)
		}
		value, err := unescape(rawValue)
		if err != nil {
			return nil, fmt.Errorf("line %d: value of %s: %w", start, key, err)
		}
		out[key] = value
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("more than %d bytes of properties", MaxBytes)
	}
	return out, nil
}

// splitLines ends lines at \n, \r or \r\n.
func splitLines(data []byte, atEOF bool) (int, []byte, error) {
	for i, c := range data {
		switch {
		case c == '\n':
			return i + 1, data[:i], nil
		case c == '\r' && i+1 < len(data):
			if data[i+1] == '\n' {
				return i + 2, data[:i], nil
			}
			return i + 1, data[:i], nil
		case c == '\r' && atEOF:
			return i + 1, data[:i], nil
		}
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// continues tells whether a line ends with an odd number of backslashes.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// splitProperty cuts a line at the first separator that is not escaped.
func splitProperty(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
			continue
		}
		if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
	value = strings.TrimLeft(line[end:], " \t\f")
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], " \t\f")
	}
	return line[:end], value
}

var errEscape = errors.New(`\u needs four hexadecimal digits`)

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var out strings.Builder
	var units []uint16 // of \u escapes in a row, since a pair of them may be one character
	flush := func() {
		out.WriteString(string(utf16.Decode(units)))
		units = units[:0]
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			flush()
			if s[i] != '\\' {
				out.WriteByte(s[i])
			}
			continue
		}
		i++
		if s[i] == 'u' {
			if len(s) < i+5 {
				return "", errEscape
			}
			unit, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", errEscape
			}
			units = append(units, uint16(unit))
			i += 4
			continue
		}
		flush()
		if at := strings.IndexByte("tnrf", s[i]); at >= 0 {
			out.WriteByte("\t\n\r\f"[at])
		} else {
			out.WriteByte(s[i])
		}
	}
	flush()
	return out.String(), nil
}
