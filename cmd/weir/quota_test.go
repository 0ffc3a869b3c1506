package main

import "testing"

func TestQuotaValuesAreReadInTheirUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		want        float64
	}{
		{"produce", "10MiB/s", 10 << 20},
		{"produce", "10 MiB/s", 10 << 20},
		{"consume", "500KB/s", 500_000},
		{"consume", "1.5k", 1536},
		{"producer_byte_rate", "1048576", 1 << 20},
		{"produce", "0.2B/s", 1},
		{"request", "50%", 50},
		{"request", "12.5", 12.5},
		{"mutation", "0.5/s", 0.5},
		{"connection", "20/s", 20},
	} {
		key, err := quotaKey(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseQuota(key, c.value); err != nil || got != c.want {
			t.Errorf("%s=%s: got %v, %v, want %v", c.name, c.value, got, err, c.want)
		}
	}
	for _, c := range [][2]string{
		{"produce", ""},
		{"produce", "0"},
		{"produce", "-1"},
		{"produce", "MiB/s"},
		{"produce", "10 apples"},
		{"produce", "10MiB/h"},
		{"produce", "NaN"},
		{"produce", "1e309"},
		{"request", "50MiB"},
		{"request", "Inf"},
		{"mutation", "10%"},
		{"connection", "x"},
	} {
		key, err := quotaKey(c[0])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseQuota(key, c[1]); err == nil {
			t.Errorf("%s=%s was taken for %v", c[0], c[1], got)
		}
	}
	if _, err := quotaKey("speed"); err == nil {
		t.Error("a quota that there is not was taken")
	}
}

// FuzzQuotaValue: whatever is typed, a value is refused or greater than 0, and what is shown of it can be typed again.
func FuzzQuotaValue(f *testing.F) {
	for _, s := range []string{"10MiB/s", "50%", "20/s", "1.5k", "", "-1", "NaN", "1e400", "9e18", "０"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, k := range quotaKinds {
			n, err := parseQuota(k.key, value)
			if err != nil {
				continue
			}
			if !(n > 0) {
				t.Fatalf("%s=%q: got %v", k.name, value, n)
			}
			if _, err := parseQuota(k.key, formatQuota(k.key, n)); err != nil {
				t.Fatalf("%s=%q is shown as %q, which is refused: %v", k.name, value, formatQuota(k.key, n), err)
			}
		}
	})
}
