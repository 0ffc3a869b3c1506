package auditevent

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"
)

func chained(t *testing.T, n int) [][]byte {
	t.Helper()
	var c Chain
	var out [][]byte
	for i := range n {
		value, err := c.Add(&Event{Source: "test", Type: TypeAuthorization, Time: time.Unix(int64(i), 0).UTC()}, "scope")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, value)
		if i == n/2 { // as after a restart
			if c, err = Resume(value); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// firstBreak returns the index of the first event that does not fit, or -1.
func firstBreak(values [][]byte) (int, error) {
	var v Verifier
	for i, value := range values {
		if _, err := v.Check(value); err != nil {
			return i, err
		}
	}
	return -1, nil
}

func TestAChainHoldsUntilSomethingIsChangedTakenOutOrInserted(t *testing.T) {
	t.Parallel()
	whole := chained(t, 9)
	for _, x := range []struct {
		what   string
		change func([][]byte) [][]byte
		broken int
		err    error
	}{
		{"nothing", func(v [][]byte) [][]byte { return v }, -1, nil},
		{"retention drops the old end", func(v [][]byte) [][]byte { return v[3:] }, -1, nil},
		{"one is changed", func(v [][]byte) [][]byte {
			v[4] = bytes.Replace(v[4], []byte(`"test"`), []byte(`"tost"`), 1)
			return v
		}, 5, ErrBroken},
		{"one is taken out", func(v [][]byte) [][]byte { return slices.Delete(v, 4, 5) }, 4, ErrBroken},
		{"one is doubled", func(v [][]byte) [][]byte { return slices.Insert(v, 4, v[4]) }, 5, ErrBroken},
		{"two change places", func(v [][]byte) [][]byte { v[4], v[5] = v[5], v[4]; return v }, 4, ErrBroken},
		{"something else is inserted", func(v [][]byte) [][]byte { return slices.Insert(v, 4, []byte("{}")) }, 4, ErrNotEvent},
		{"bytes that are no JSON", func(v [][]byte) [][]byte { return slices.Insert(v, 0, []byte("x")) }, 0, ErrNotEvent},
	} {
		at, err := firstBreak(x.change(slices.Clone(whole)))
		if at != x.broken || !errors.Is(err, x.err) {
			t.Errorf("%s: got a break at %d (%v), want at %d (%v)", x.what, at, err, x.broken, x.err)
		}
	}
}

// FuzzCheck: whatever lies in the topic, verifying it does not fall over.
func FuzzCheck(f *testing.F) {
	var c Chain
	value, err := c.Add(&Event{Type: TypeLost}, "s")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte(`{"specversion":"1.0","sequence":1}`))
	f.Fuzz(func(_ *testing.T, value []byte) {
		var v Verifier
		for range 2 {
			_, _ = v.Check(value) // any error will do
		}
		_, _ = Resume(value) // likewise
	})
}
