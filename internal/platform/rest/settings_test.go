package rest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/config"
)

func load(t *testing.T, set ...string) (*config.Values, error) {
	t.Helper()
	schema, err := config.NewSchema(Settings()...)
	if err != nil {
		t.Fatal(err)
	}
	return schema.Load(config.Sources{Set: set})
}

func TestWebhooksAreReadFromSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOOK_SECRET", "from the environment")
	v, err := load(t, "rest.webhooks=a:github:events:env:HOOK_SECRET,b.c:stripe:payments:file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	hooks, err := WebhooksOf(v)
	if err != nil || len(hooks) != 2 || hooks[0].Topic != "events" || hooks[0].Check.Secret.Reveal() != "from the environment" || hooks[1].Name != "b.c" || hooks[1].Check.Secret.Reveal() != "from a file" {
		t.Errorf("got %+v, %v", hooks, err)
	}
	for text, want := range map[string]string{
		"a:github:events":                              "NAME:KIND",
		"a:gitlab:events:env:X":                        "gitlab",
		"a/b:github:events:env:X":                      "a/b",
		"a:github:no topic:env:X":                      "no topic",
		"a:github:events:hunter2":                      "env:VARIABLE",
		"a:github:events:env:X,a:github:events:env:X2": "twice",
	} {
		if _, err := load(t, "rest.webhooks="+text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"a:github:events:env:NO_SUCH_VARIABLE", "a:github:events:file:/no/such/file"} {
		v, err := load(t, "rest.webhooks="+text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := WebhooksOf(v); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
