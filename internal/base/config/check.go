package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ValueError says why a value is refused. Its text is the one Kafka uses for the same mistake.
type ValueError struct {
	Name   string // of the setting
	Value  string // as given; numbers out of range in canonical form
	Reason string
	// Plain errors show Reason alone: Kafka words some of them so.
	Plain bool
}

// Error is "Invalid value V for configuration K: reason".
func (e *ValueError) Error() string {
	if e.Plain {
		return e.Reason
	}
	if e.Reason == "" {
		return fmt.Sprintf("Invalid value %s for configuration %s", e.Value, e.Name)
	}
	return fmt.Sprintf("Invalid value %s for configuration %s: %s", e.Value, e.Name, e.Reason)
}

// check is one condition on a parsed value.
type check interface {
	check(s *Setting, v any) error
	describe() string
}

// secretInURL matches addresses with a user and password, or a key, in them. They are refused for that, and the refusal, which ends in a log, must not repeat
// it.
var secretInURL = regexp.MustCompile(`(?i)://.*(@|%40|secret|passw|token|[?&][^=&]*key=)`)

func refuse(s *Setting, v any, format string, args ...any) error {
	shown := formatValue(v)
	if list, ok := v.([]string); ok {
		shown = "[" + strings.Join(list, ", ") + "]"
	}
	if s.Sensitive() || secretInURL.MatchString(shown) {
		shown = hidden
	}
	return &ValueError{Name: s.name, Value: shown, Reason: fmt.Sprintf(format, args...)}
}

func parseValue(name string, t Type, text string) (any, error) {
	trimmed := strings.TrimFunc(text, func(r rune) bool { return r <= ' ' })
	bad := func(reason string) error { return &ValueError{Name: name, Value: text, Reason: reason} }
	switch t {
	case TypeBool:
		switch {
		case strings.EqualFold(trimmed, "true"):
			return true, nil
		case strings.EqualFold(trimmed, "false"):
			return false, nil
		}
		return nil, bad("Expected value to be either true or false")
	case TypeInt, TypeShort, TypeLong:
		bits := map[Type]int{TypeInt: 32, TypeShort: 16, TypeLong: 64}[t]
		n, err := strconv.ParseInt(trimmed, 10, bits)
		if err != nil {
			return nil, bad("Not a number of type " + t.String())
		}
		return n, nil
	case TypeDouble:
		f, err := strconv.ParseFloat(trimmed, 64)
		if err != nil || strings.ContainsAny(trimmed, "_pPxX") || math.IsNaN(f) {
			return nil, bad("Not a number of type " + t.String())
		}
		return f, nil
	case TypeList:
		if trimmed == "" {
			return []string{}, nil
		}
		parts := strings.Split(trimmed, ",")
		for i := range parts {
			parts[i] = strings.TrimFunc(parts[i], func(r rune) bool { return r <= ' ' }) // as Java trims
		}
		return parts, nil
	case TypePassword:
		return text, nil
	default:
		return trimmed, nil
	}
}

// firstOfEach drops what stands earlier in the list, without changing list.
func firstOfEach(list []string) []string {
	out := make([]string, 0, len(list))
	seen := make(map[string]struct{}, len(list))
	for _, w := range list {
		if _, again := seen[w]; !again {
			seen[w] = struct{}{}
			out = append(out, w)
		}
	}
	return out
}

// formatValue prints a parsed value so that parseValue gives it back.
func formatValue(v any) string {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return formatDouble(v)
	case []string:
		return strings.Join(v, ",")
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// formatDouble prints as Java does: 0.5, 1.0, 1.0E7, 1.7976931348623157E308. Clients compare these texts.
func formatDouble(f float64) string {
	abs := math.Abs(f)
	if math.IsInf(f, 0) {
		return strings.Replace(strconv.FormatFloat(f, 'f', -1, 64), "+Inf", "Infinity", 1)
	}
	if f == 0 || (abs >= 1e-3 && abs < 1e7) {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent) // 'E' always writes a number here
	return mantissa + "E" + strconv.Itoa(n)
}

// Number is what ranges are written in.
type Number interface {
	~int | ~int32 | ~int64 | ~float64
}

type numberRange[N Number] struct {
	low, high       N
	hasLow, hasHigh bool
}

// Range allows numbers from low to high, both included. It also bounds durations, in milliseconds.
func Range[N Number](low, high N) Option {
	return addCheck(numberRange[N]{low: low, high: high, hasLow: true, hasHigh: true})
}

// AtLeast allows numbers from low on.
func AtLeast[N Number](low N) Option { return addCheck(numberRange[N]{low: low, hasLow: true}) }

func addCheck(c check) Option { return func(s *Setting) { s.checks = append(s.checks, c) } }

func showNumber[N Number](n N) string {
	return strconv.FormatFloat(float64(n), 'f', -1, 64)
}

func (r numberRange[N]) check(s *Setting, v any) error {
	var below, above bool
	switch v := v.(type) {
	case int64:
		// Limits of whole-number settings are whole numbers that an int64 holds.
		below, above = r.hasLow && v < int64(r.low), r.hasHigh && v > int64(r.high)
	case float64:
		below, above = r.hasLow && v < float64(r.low), r.hasHigh && v > float64(r.high)
	}
	switch {
	case below:
		return refuse(s, v, "Value must be at least %s", r.show(r.low))
	case above:
		return refuse(s, v, "Value must be no more than %s", r.show(r.high))
	}
	return nil
}

func (r numberRange[N]) show(n N) string {
	if whole := int64(n); N(whole) == n {
		return strconv.FormatInt(whole, 10)
	}
	return showNumber(n)
}

func (r numberRange[N]) describe() string {
	if !r.hasHigh {
		return fmt.Sprintf("[%s,...]", r.show(r.low))
	}
	return fmt.Sprintf("[%s,...,%s]", r.show(r.low), r.show(r.high))
}

type oneOf struct {
	words []string
	fold  bool
}

// OneOf allows only these words, for a String; for a List it allows only these elements and the empty list, and an
// element given again is dropped.
func OneOf(words ...string) Option {
	return func(s *Setting) {
		s.distinct = true
		s.checks = append(s.checks, oneOf{words: words})
	}
}

// OneOfFold is OneOf without regard to case.
func OneOfFold(words ...string) Option { return addCheck(oneOf{words: words, fold: true}) }

func (o oneOf) has(w string) bool {
	if o.fold {
		return slices.ContainsFunc(o.words, func(x string) bool { return strings.EqualFold(x, w) })
	}
	return slices.Contains(o.words, w)
}

func (o oneOf) check(s *Setting, v any) error {
	text := "String must be one of: "
	if o.fold {
		text = "String must be one of (case insensitive): "
	}
	switch v := v.(type) {
	case string:
		if !o.has(v) {
			return refuse(s, v, "%s%s", text, strings.Join(o.words, ", "))
		}
	case []string:
		if err := noEmptyWords(s, v); err != nil {
			return err
		}
		for _, w := range v {
			if !o.has(w) {
				return refuse(s, w, "%s%s", text, strings.Join(o.words, ", "))
			}
		}
	}
	return nil
}

func (o oneOf) describe() string { return "[" + strings.Join(o.words, ", ") + "]" }

func noEmptyWords(s *Setting, list []string) error {
	if !slices.Contains(list, "") {
		return nil
	}
	return &ValueError{
		Name: s.name, Value: strings.Join(list, ","), Plain: true,
		Reason: fmt.Sprintf("Configuration '%s' values must not be empty.", s.name),
	}
}

type unique struct{}

// Unique drops the elements of a List that stand in it before, and refuses an empty one.
func Unique(s *Setting) {
	s.distinct = true
	s.checks = append(s.checks, unique{})
}

func (unique) check(s *Setting, v any) error {
	if list, ok := v.([]string); ok {
		return noEmptyWords(s, list)
	}
	return nil
}

func (unique) describe() string { return "" }

type nonEmpty struct{}

// NonEmpty refuses the empty string.
func NonEmpty(s *Setting) { s.checks = append(s.checks, nonEmpty{}) }

func (nonEmpty) check(s *Setting, v any) error {
	if v == "" {
		return refuse(s, v, "String must be non-empty")
	}
	return nil
}

func (nonEmpty) describe() string { return "non-empty string" }

type checkFunc struct {
	what string
	f    func(v any) error
}

// Check adds a condition of the caller's: v is the parsed value (see Setting.Parse), what describes what is
// allowed. The error's text becomes the reason of the ValueError; a *ValueError is handed on as it is.
func Check(what string, f func(v any) error) Option { return addCheck(checkFunc{what, f}) }

func (c checkFunc) check(s *Setting, v any) error {
	err := c.f(v)
	if err == nil {
		return nil
	}
	//nolint:errorlint // only an error of ours, not wrapped, is handed on
	if ve, ok := err.(*ValueError); ok {
		return ve
	}
	return refuse(s, v, "%s", err.Error())
}

func (c checkFunc) describe() string { return c.what }
