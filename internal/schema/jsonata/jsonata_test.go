package jsonata

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/rules"
)

func run(ctx context.Context, expr string, value any) (any, error) {
	return New().Run(ctx, rules.Request{Rule: &schema.Rule{Name: "r", Type: Type, Expr: expr}, Value: value})
}

func message() map[string]any {
	return map[string]any{
		"name": "Ada", "big": int64(math.MaxInt64), "most": uint64(math.MaxUint64), "count": int64(3), "price": 2.5, "raw": []byte{1, 0xff},
		"lines": []any{map[string]any{"n": int64(1)}, map[string]any{"n": int64(2)}}, "one": []any{int64(5)}, "none": []any{}, "no": nil,
	}
}

// What an expression makes of the plain model is the plain model again: whole numbers stay whole, and those that nobody calculates with keep every digit.
func TestExpressionsKeepThePlainModel(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]any{
		"$":                            any(message()),
		"big":                          int64(math.MaxInt64),
		"{'b': big, 'm': most}":        map[string]any{"b": int64(math.MaxInt64), "m": uint64(math.MaxUint64)},
		"count + 1":                    int64(4),
		"count / 2":                    1.5,
		"price * 2":                    int64(5),
		"$sum(lines.n)":                int64(3),
		"lines.n":                      []any{int64(1), int64(2)},
		"{'one': one, 'none': none}":   map[string]any{"one": []any{int64(5)}, "none": []any{}},
		"{'raw': raw}":                 map[string]any{"raw": []byte{1, 0xff}},
		"{'no': no}":                   map[string]any{"no": nil},
		"nothing":                      nil,
		"count = 3 and name = 'Ada'":   true,
		"count > 2":                    true,
		"$exists(nothing)":             false,
		"$uppercase(name) & '!'":       "ADA!",
		"$merge([$, {'name': 'Bob'}])": func() any { m := message(); m["name"] = "Bob"; return m }(),
		"$sift($, function($v, $k) { $k in ['name', 'count'] })": map[string]any{"name": "Ada", "count": int64(3)},
	} {
		in := message()
		got, err := run(t.Context(), expr, in)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %#v, %v, want %#v", expr, got, err, want)
		}
		if !reflect.DeepEqual(in, message()) {
			t.Fatalf("%s has changed what it was given", expr)
		}
	}
}

// An expression that does not end is ended, and one that no expression may be is not begun.
func TestHostileExpressionsEnd(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"($f := function($x) { $f($x) }; $f(1))":     "rule",
		"($f := function($x) { 1 + $f($x) }; $f(1))": "stack",
		"[1..9999999].[1..9999999]":                  ErrTime.Error(),
		"[1..600000]":                                "more than 500000 values",
		"":                                           "empty",
		"$nosuch(1)":                                 "rule",
		"{'a': ":                                     "rule",
		strings.Repeat("(", 1000) + "1" + strings.Repeat(")", 1000): "nested deeper",
		strings.Repeat("-", 1000) + "1":                             "nested deeper",
		strings.Repeat("a", rules.MaxExpressionBytes+1):             "at most 65536",
	} {
		if got, err := run(t.Context(), expr, message()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s gives %.40s, %v, want an error with %q", expr, fmt.Sprint(got), err, want)
		}
	}
}

func TestEvaluationEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := run(ctx, "($f := function($x) { $f($x) }; $f(1))", nil); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
}

func FuzzCompile(f *testing.F) {
	for _, expr := range []string{"$", "a.b[0]", "$merge([$, {'a': 1}])", "($f := function($x) { $x }; $f(1))", "/a+/i", "a ? b : c", "[1..3]", "a^(>b)", "%.a", "a@$x.b#$i", "$ ~> |a|{'b': 1}, ['c']|", "\"\\u00e9\"", "`a b`", "**.c"} {
		f.Add(expr)
	}
	r := New()
	f.Fuzz(func(_ *testing.T, expr string) {
		_, _ = r.compile(expr) //nolint:errcheck // that it returns is what is tested
	})
}
