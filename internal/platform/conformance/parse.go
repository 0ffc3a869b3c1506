package conformance

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed api/*.txt compatibility/*.txt peers/*.txt
var files embed.FS

// Case is one thing that a registry must do: a few requests, one after the other.
type Case struct {
	Group, Name string
	File        string
	Line        int
	// Global says that the case changes what all subjects of the registry share.
	Global bool
	Steps  []Step

	pair *pair
}

// Step is a request and what has to come back.
type Step struct {
	Line         int
	Method, Path string
	Header       [][2]string
	// Body is nil if there is none. Names in < > are not replaced yet.
	Body *string
	// Status lists what is right; Code is the error_code, 0 for none.
	Status       []int
	Code         int
	AnswerHeader [][2]string
	// Want is nil if the body may be anything.
	Want pattern
}

var (
	requestLine = regexp.MustCompile(`^(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) (/\S*)$`)
	statusLine  = regexp.MustCompile(`(?s)^(\d{3}(?:\|\d{3})*)(?: (\d{5})\b)?(?: (.*))?$`)
	headerLine  = regexp.MustCompile(`^([A-Z][A-Za-z-]*): ?(.*)$`)
)

// Cases returns all cases, in the order of their files.
func Cases() ([]Case, error) {
	var all []Case
	for _, folder := range []string{"api", "compatibility"} {
		names, err := fs.Glob(files, folder+"/*.txt")
		if err != nil {
			return nil, fmt.Errorf("list the files of cases: %w", err)
		}
		for _, name := range names {
			text, err := files.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read the cases of %s: %w", name, err)
			}
			parse := parseFile
			if folder == "compatibility" {
				parse = parsePairs
			}
			cases, err := parse(name, string(text))
			if err != nil {
				return nil, err
			}
			all = append(all, cases...)
		}
	}
	return all, nil
}

// groupOf is the name of a file without the number that orders it.
func groupOf(file string) string {
	name := strings.TrimSuffix(path.Base(file), ".txt")
	if number, rest, ok := strings.Cut(name, "-"); ok {
		if _, err := strconv.Atoi(number); err == nil {
			return rest
		}
	}
	return name
}

// lines hands out the lines of a file with their numbers.
type lines struct {
	file string
	all  []string
	next int // index of the line to come; so also the number of the one before
}

func newLines(file, text string) *lines {
	return &lines{file: file, all: strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")}
}

func (l *lines) more() bool   { return l.next < len(l.all) }
func (l *lines) peek() string { return l.all[l.next] }

func (l *lines) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", l.file, l.next+1, fmt.Sprintf(format, args...))
}

// take returns the line to come, and those that follow as long as a back quote is open.
func (l *lines) take() (string, error) {
	line := l.all[l.next]
	l.next++
	for strings.Count(line, "`")%2 == 1 {
		if !l.more() {
			return "", l.errorf("a back quote is never closed")
		}
		line += "\n" + l.all[l.next]
		l.next++
	}
	return line, nil
}

// begin makes a case of its title.
func (l *lines) begin(title string) Case {
	return Case{Group: groupOf(l.file), Name: strings.TrimSpace(strings.TrimPrefix(title, "==")), File: path.Base(l.file), Line: l.next}
}

func parseFile(name, text string) ([]Case, error) {
	l := newLines(name, text)
	var out []Case
	for l.more() {
		line := l.peek()
		switch {
		case strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"):
			l.next++
		case strings.HasPrefix(line, "== "):
			l.next++
			out = append(out, l.begin(line))
		case strings.TrimSpace(line) == "@ global" && len(out) > 0:
			out[len(out)-1].Global = true
			l.next++
		case requestLine.MatchString(line) && len(out) > 0:
			step, err := l.step()
			if err != nil {
				return nil, err
			}
			c := &out[len(out)-1]
			c.Steps = append(c.Steps, step)
		default:
			return nil, l.errorf("neither a case, a request nor a comment: %q", line)
		}
	}
	for _, c := range out {
		if len(c.Steps) == 0 {
			return nil, fmt.Errorf("%s:%d: the case has no request", name, c.Line)
		}
	}
	return out, nil
}

// step reads a request and what is expected of it.
func (l *lines) step() (Step, error) {
	m := requestLine.FindStringSubmatch(l.peek())
	l.next++
	s := Step{Line: l.next, Method: m[1], Path: m[2]}
	var body []string
	for {
		if !l.more() {
			return s, l.errorf("%s %s: what is expected is missing", s.Method, s.Path)
		}
		line, err := l.take()
		if err != nil {
			return s, err
		}
		if m := statusLine.FindStringSubmatch(line); m != nil {
			if len(body) > 0 {
				text, err := quoted(strings.Join(body, "\n"))
				if err != nil {
					return s, l.errorf("body: %v", err)
				}
				s.Body = &text
			}
			return s, l.expected(&s, m)
		}
		if h := headerLine.FindStringSubmatch(line); h != nil && len(body) == 0 {
			s.Header = append(s.Header, [2]string{h[1], h[2]})
			continue
		}
		body = append(body, line)
	}
}

// expected reads the line with the status and what follows it up to an empty line.
func (l *lines) expected(s *Step, m []string) error {
	for one := range strings.SplitSeq(m[1], "|") {
		n, err := strconv.Atoi(one)
		if err != nil {
			return l.errorf("status: %v", err)
		}
		s.Status = append(s.Status, n)
	}
	if m[2] != "" {
		s.Code, _ = strconv.Atoi(m[2]) // five digits, by the expression
	}
	var text strings.Builder
	text.WriteString(m[3])
	for l.more() && strings.TrimSpace(l.peek()) != "" && !strings.HasPrefix(l.peek(), "== ") && !requestLine.MatchString(l.peek()) {
		line, err := l.take()
		if err != nil {
			return err
		}
		if h := headerLine.FindStringSubmatch(line); h != nil {
			s.AnswerHeader = append(s.AnswerHeader, [2]string{h[1], h[2]})
			continue
		}
		text.WriteString("\n" + line)
	}
	if strings.TrimSpace(text.String()) == "" {
		return nil
	}
	p, err := parsePattern(text.String())
	if err != nil {
		return l.errorf("%s %s: what is expected: %v", s.Method, s.Path, err)
	}
	s.Want = p
	return nil
}

// quoted makes JSON strings of texts in back quotes.
func quoted(text string) (string, error) {
	parts := strings.Split(text, "`")
	if len(parts)%2 == 0 {
		return "", fmt.Errorf("a back quote is not closed: %s", text)
	}
	for i := 1; i < len(parts); i += 2 {
		parts[i] = jsonString(trimBlock(parts[i]))
	}
	return strings.Join(parts, ""), nil
}

// trimBlock takes off the line break that follows the opening quote and the one before the closing one.
func trimBlock(s string) string {
	if rest, ok := strings.CutPrefix(s, "\n"); ok {
		return strings.TrimRight(rest, "\n") + "\n"
	}
	return s
}

// jsonString is a string as JSON, with < and > as they are: they enclose names.
func jsonString(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return strconv.Quote(s) // cannot be: a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Groups returns the names of the groups, in order.
func Groups(cases []Case) []string {
	var out []string
	for _, c := range cases {
		if !slices.Contains(out, c.Group) {
			out = append(out, c.Group)
		}
	}
	return out
}
