package rules

import (
	"strings"
	"testing"
	"time"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	r := &Record{
		Topic: "orders", Partition: 3, Offset: 42, Timestamp: time.UnixMilli(1_700_000_000_000), Key: "k1",
		Value:   map[string]any{"amount": int64(12), "items": []any{map[string]any{"sku": "a"}}, "who": nil},
		Headers: []Header{{"source", "old"}, {"source", "web"}, {"trace", []byte{1}}, {"none", nil}},
	}
	for _, tt := range []struct {
		expr  string
		want  bool
		fails string
	}{
		{expr: `true`, want: true},
		{expr: `topic == "orders" && partition == 3 && offset >= 42`, want: true},
		{expr: `value.amount > 10 && value.items[0].sku == "a"`, want: true},
		{expr: `value.amount > 10.5`, want: true},
		{expr: `key.startsWith("k")`, want: true},
		{expr: `key == "other"`},
		{expr: `headers.source == "web" && headers["trace"] == b"\x01" && headers.none == null`, want: true},
		{expr: `"nope" in headers`},
		{expr: `timestamp > timestamp("2023-11-14T00:00:00Z") && timestamp.getFullYear() == 2023`, want: true},
		{expr: `value.who == null`, want: true},
		{expr: `has(value.nope) && value.nope > 1`},
		{expr: `value.nope > 1`, fails: "no such key"},
		{expr: `value.amount`, fails: "gave a number, not a bool"},
	} {
		f, err := newEngine(t, Options{}).Filter(tt.expr)
		if err != nil {
			t.Errorf("%s: %v", tt.expr, err)
			continue
		}
		got, err := f.Match(t.Context(), r)
		if got != tt.want || (tt.fails == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: %v, %v; want %v, %q", tt.expr, got, err, tt.want, tt.fails)
		}
	}
}

func TestFilterThatDoesNotCompile(t *testing.T) {
	t.Parallel()
	e := newEngine(t, Options{})
	for expr, want := range map[string]string{
		"":              "empty",
		"offset == ":    "Syntax error",
		"offset == 'a'": "no matching overload",
		"offset":        "gives int, not bool",
		"message.a":     "undeclared reference to 'message'",
	} {
		if _, err := e.Filter(expr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", expr, err, want)
		}
	}
}

func TestFilterSaysWhatItUses(t *testing.T) {
	t.Parallel()
	f, err := newEngine(t, Options{}).Filter(`value.a == 1 || headers.x == "key"`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"value": true, "headers": true, "key": false, "topic": false} {
		if got := f.Uses(name); got != want {
			t.Errorf("Uses(%s) = %v", name, got)
		}
	}
}

// FuzzFilter: no expression makes the process fall or hang, and one that compiles gives a bool or an error.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		`value.a > 1`, `[1,2].map(x, [x,x]).map(y, y)`, `value.l.exists(x, x == "a") ? true : key.matches("[a")`, `{"a": 1u}["a"] == value["a"]`,
		`"%d%s".format([1, value])`, `value.s.replace("", "aa").split("a").join("b").indexOf("b") == 3`, `timestamp("x") < timestamp`, `type(value) == map`,
		`headers.all(k, headers[k] == null)`, `b"a" + bytes(value.s) == b""`, `-9223372036854775808 / -1 == 0`, `decimal(1)`, `value.isUuid()`,
	} {
		f.Add(s)
	}
	e := newEngine(f, Options{CostLimit: 20_000})
	r := &Record{Topic: "t", Timestamp: time.UnixMilli(0), Key: []byte("k"), Value: map[string]any{"a": 1.5, "l": []any{"a", int64(1), uint64(2), nil, true}, "s": "text"}}
	f.Fuzz(func(t *testing.T, expr string) {
		p, err := e.Filter(expr)
		if err != nil {
			return
		}
		if ok, err := p.Match(t.Context(), r); ok && err != nil {
			t.Errorf("%q: true with error %v", expr, err)
		}
	})
}
