package config

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Row is one setting as `weir config show` prints it.
type Row struct {
	Name   string `json:"name"`
	Value  string `json:"value"` // "" if null, "[hidden]" if sensitive
	Null   bool   `json:"null,omitempty"`
	Origin string `json:"origin"`
	Where  string `json:"where,omitempty"`
	Inert  bool   `json:"inert,omitempty"`
}

// Rows are the values of all settings that are not internal, sorted by name. With all false, only those that were
// set.
func Rows(v *Values, all bool) []Row {
	var out []Row
	for _, s := range v.Settings() {
		e, set := v.Explicit(s.name)
		if s.internal && !set || !all && !set {
			continue
		}
		text, origin, ok := v.Text(s.name)
		if s.Sensitive() && ok {
			text = hidden
		}
		out = append(out, Row{Name: s.name, Value: text, Null: !ok, Origin: origin.String(), Where: e.Where, Inert: s.inert})
	}
	return out
}

// Show writes the values as a settings file that Load reads back, sensitive ones left out. With origins, a comment
// behind each tells where it comes from.
func Show(w io.Writer, v *Values, all, origins bool) error {
	b := bufio.NewWriter(w)
	for _, r := range Rows(v, all) {
		switch {
		case r.Value == hidden:
			fmt.Fprintf(b, "# %s: %s", r.Name, hidden)
		case r.Null:
			fmt.Fprintf(b, "%s:", r.Name)
		default:
			fmt.Fprintf(b, "%s: %s", r.Name, yamlText(r.Value))
		}
		if origins {
			where := r.Origin
			if r.Where != "" {
				where = r.Where
			}
			fmt.Fprintf(b, "  # %s", where)
		}
		fmt.Fprintln(b) // bufio keeps the error for Flush
	}
	return b.Flush()
}

// yamlText quotes what YAML would take for something else than these very letters or digits.
func yamlText(s string) string {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		return s
	}
	letter := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	plain := s != "" && letter(rune(s[0])) && strings.IndexFunc(s, func(r rune) bool {
		return !letter(r) && (r < '0' || r > '9') && !strings.ContainsRune("_./+-", r)
	}) < 0
	special := slices.ContainsFunc([]string{"null", "true", "false", "nan", "inf"}, func(w string) bool {
		return strings.EqualFold(s, w)
	})
	if s == "true" || s == "false" || plain && !special {
		return s
	}
	return strconv.Quote(s)
}

// shownDefault is the default for people.
func (s *Setting) shownDefault() string {
	if s.defaultFn != nil {
		return s.defaultDoc
	}
	if !s.hasDefault {
		return ""
	}
	return formatValue(s.defaultTo)
}

// Markdown writes the reference of all settings: a table of those that act in Weir, then one of those that Weir
// takes for Kafka's sake.
func Markdown(w io.Writer, s *Schema) error {
	b := bufio.NewWriter(w)
	table := func(inert bool) {
		fmt.Fprint(b, "| name | type | default | allowed | changes | overrides | what it does |\n|---|---|---|---|---|---|---|\n")
		for _, x := range s.Settings() {
			if x.internal || x.inert != inert {
				continue
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", x.name, strings.ToLower(x.typ.String()),
				code(x.shownDefault()), code(x.Allowed()), x.mode, code(x.overrides()), cell(x.doc+x.fallbackDoc()))
		}
	}
	fmt.Fprint(b, "## Settings that act\n\n")
	table(false)
	fmt.Fprint(b, "\n## Settings of Kafka that are accepted and change nothing\n\n")
	table(true)
	return b.Flush()
}

func (s *Setting) overrides() string {
	var parts []string
	if s.topic != "" {
		parts = append(parts, "topic "+s.topic)
	}
	if s.group != "" {
		parts = append(parts, "group "+s.group)
	}
	return strings.Join(parts, ", ")
}

func (s *Setting) fallbackDoc() string {
	if len(s.fallbacks) == 0 {
		return ""
	}
	names := make([]string, len(s.fallbacks))
	for i, f := range s.fallbacks {
		names[i] = f.setting.name
	}
	return " If it is not set, " + strings.Join(names, ", then ") + " counts."
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

func cell(s string) string { return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s) }
