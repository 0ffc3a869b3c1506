package properties

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestPropertiesReadAsJavaReadsThem(t *testing.T) {
	t.Parallel()
	text := "# comment\n! comment\n\n" +
		"plain=value\r\n" +
		"  spaced  =  value with spaces  \n" +
		"colon: v\nblank v w\nempty=\nalone\n" +
		"joined=one,\\\n    two,\\\n  three\n" +
		`esc\=aped\ key=a\tb\n\\c\:\q` + "\n" +
		`uni=\u00e4\u20AC\uD83D\uDE00x` + "\n" +
		"equals=a=b=c\n==double\ntwice=1\ntwice=2\rold=mac\nutf8=ä\nlast=end\\"
	want := map[string]string{
		"plain": "value", "spaced": "value with spaces  ", "colon": "v", "blank": "v w", "empty": "", "alone": "",
		"joined": "one,two,three", "esc=aped key": "a\tb\n\\c:q", "uni": "ä€😀x", "equals": "a=b=c", "": "=double",
		"twice": "2", "old": "mac", "utf8": "ä", "last": "end",
	}
	got, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			t.Errorf("%q: got %q, want %q", k, g, v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d properties, want %d: %q", len(got), len(want), maps.Collect(maps.All(got)))
	}
}

func TestBadPropertiesNameTheLineAndNotTheValue(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a=1\nsasl.password=secret\\u12g4", "a=1\nsasl.password=secret\\u1"} {
		_, err := Parse(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := Parse(strings.NewReader(strings.Repeat("a=b\n", MaxBytes/4+1))); err == nil {
		t.Error("a file over the limit was read")
	}
	broken := errors.New("broken")
	if _, err := Parse(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestLoadProperties(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(name, []byte("client.id=me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(name); err != nil || got["client.id"] != "me" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Load(name + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a=b\nc: d\\\n e\n\\u00e4=\\q\r\n#x")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		// Written out with every byte escaped that means something, they read back.
		var out strings.Builder
		escape := strings.NewReplacer("\\", "\\\\", "=", "\\=", ":", "\\:", " ", "\\ ", "\t", "\\t", "\n", "\\n", "\r", "\\r", "\f", "\\f", "#", "\\#", "!", "\\!")
		for k, v := range got {
			out.WriteString(escape.Replace(k) + "=" + escape.Replace(v) + "\n")
		}
		again, err := Parse(strings.NewReader(out.String()))
		if err != nil || !maps.Equal(again, got) {
			t.Fatalf("%q: got %q, %v", got, again, err)
		}
	})
}
