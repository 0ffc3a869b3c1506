package config_test

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-stream/weir/internal/base/config"
)

// TestValuesSurviveFormatAndParse: the canonical text of a value parses to the same value, and is its own canonical form.
func TestValuesSurviveFormatAndParse(t *testing.T) {
	t.Parallel()
	keys := []config.Declared{
		config.Bool("b", false, "x"), config.Int("i", 0, "x"), config.Short("s", 0, "x"), config.Long("l", 0, "x"),
		config.Double("d", 0, "x"), config.String("t", "", "x"), config.List("li", nil, "x"), config.Password("p", "x"),
	}
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(keys).Draw(t, "key").Setting()
		var text string
		switch k.Type() {
		case config.TypeBool:
			text = strconv.FormatBool(rapid.Bool().Draw(t, "v"))
		case config.TypeInt:
			text = strconv.FormatInt(int64(rapid.Int32().Draw(t, "v")), 10)
		case config.TypeShort:
			text = strconv.FormatInt(int64(rapid.Int16().Draw(t, "v")), 10)
		case config.TypeLong:
			text = strconv.FormatInt(rapid.Int64().Draw(t, "v"), 10)
		case config.TypeDouble:
			text = strconv.FormatFloat(rapid.Float64().Draw(t, "v"), 'g', -1, 64)
		default:
			text = rapid.String().Draw(t, "v")
		}
		value, err := k.Parse(text)
		if err != nil {
			t.Fatalf("parse %q: %v", text, err)
		}
		canonical, err := k.Canonical(text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := k.Parse(canonical)
		if err != nil || !reflect.DeepEqual(value, again) {
			t.Fatalf("%q became %q: %v, %v, %v", text, canonical, value, again, err)
		}
	})
}

// TestShownValuesLoadBack: what Show prints, a settings file may hold.
func TestShownValuesLoadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := schema(t)
		set := map[string]string{
			"broker.rack":                     rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9a-z._+-]{1,6}`)).Draw(rt, "rack"),
			"log.segment.bytes":               strconv.Itoa(rapid.IntRange(14, 1<<31-1).Draw(rt, "bytes")),
			"log.cleaner.min.cleanable.ratio": strconv.FormatFloat(rapid.Float64Range(0, 1).Draw(rt, "ratio"), 'g', -1, 64),
			"log.cleanup.policy":              rapid.SampledFrom([]string{"", "compact", "compact,delete"}).Draw(rt, "policy"),
		}
		v, err := s.Defaults().With(config.FromFile, set)
		if err != nil {
			rt.Fatal(err)
		}
		var out strings.Builder
		if err := config.Show(&out, v, rapid.Bool().Draw(rt, "all"), true); err != nil {
			rt.Fatal(err)
		}
		back, err := s.LoadYAML("x", []byte(out.String()))
		if err != nil {
			rt.Fatalf("%v in\n%s", err, out.String())
		}
		for name := range set {
			want, _, _ := v.Text(name)
			if got, _, _ := back.Text(name); got != want {
				rt.Fatalf("%s: got %q, want %q in\n%s", name, got, want, out.String())
			}
		}
	})
}

// FuzzYAML: no text makes the reader fall over, and what it accepts shows and loads again.
func FuzzYAML(f *testing.F) {
	for _, seed := range []string{
		"", "log.segment.bytes: 100\n", "log:\n  segment:\n    bytes: 0x64\nlog.cleanup.policy: [compact, delete]\n", "a: &x {b: *x}\n",
		"broker.rack: |\n  two\n  lines\n", "? [a]\n: b\n", "--- 1\n---\n2\n", "<<: {log.segment.bytes: 100}\n", "broker.rack: !!str 5\n", "\"\": 1\n", "a: [1, {b: 2}]",
	} {
		f.Add([]byte(seed))
	}
	s := schema(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := s.LoadYAML("fuzz", data)
		if err != nil {
			return
		}
		for _, name := range v.Explicits() {
			if _, _, ok := v.Text(name); !ok {
				t.Errorf("%s was set and is null", name)
			}
		}
	})
}
