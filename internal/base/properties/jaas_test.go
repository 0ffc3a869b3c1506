package properties

import (
	"strings"
	"testing"
)

func TestJAASOptions(t *testing.T) {
	t.Parallel()
	got, err := ParseJAAS("org.apache.kafka.common.security.scram.ScramLoginModule required\n  username=\"al\\\"ice\" password = \"a;b=c d\"\n tokenauth=true;")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"username": `al"ice`, "password": "a;b=c d", "tokenauth": "true"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func FuzzParseJAAS(f *testing.F) {
	f.Add(`M required username="a\"b" password=c;`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ParseJAAS(text); err == nil && !strings.Contains(text, ";") {
			t.Fatalf("%q has no end and was accepted", text)
		}
	})
}
