package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/secret"
)

func TestNothingShowsASecret(t *testing.T) {
	t.Parallel()
	const text = "hunter2"
	type holder struct {
		Open   secret.Text
		closed secret.Text
		ptr    *secret.Text
	}
	s := secret.New(text)
	h := holder{s, s, &s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s", "%T", "%c"} {
		fmt.Fprintf(&out, verb+" ", s)
		fmt.Fprintf(&out, verb+" ", h)
		fmt.Fprintf(&out, verb+" ", &h)
		fmt.Fprintf(&out, verb+" ", []secret.Text{s})
		fmt.Fprintf(&out, verb+" ", map[string]secret.Text{"k": s})
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("m", "s", s, "h", h, "p", &s, "e", fmt.Errorf("wrong %v: %w", s, errors.New("x")))
	}
	if err := json.NewEncoder(&out).Encode(map[string]any{"s": s, "h": h}); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), "104 117 110 116 101 114 50"} {
		if strings.Contains(got, form) {
			t.Errorf("%q shows in %s", form, got)
		}
	}
	if !strings.Contains(got, secret.Hidden) {
		t.Error("nothing says that something is hidden")
	}
}

func TestRevealAndEqual(t *testing.T) {
	t.Parallel()
	var zero secret.Text
	if zero.Reveal() != "" || !zero.IsEmpty() || secret.New("a").Reveal() != "a" || secret.New("a").IsEmpty() {
		t.Error("Reveal is not what New was given")
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "aa", false}, {"", "a", false}} {
		if got := secret.New(c.a).Equal(secret.New(c.b)); got != c.want {
			t.Errorf("%q equals %q: got %v", c.a, c.b, got)
		}
	}
}
