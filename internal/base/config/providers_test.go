package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/config"
)

func TestReferencesAreResolvedOnlyWhereTheyAreAllowed(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write := func(path, text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write(filepath.Join(dir, "s.properties"), "key.password = of the file\nself=${file:x:y}\n")
	write(filepath.Join(dir, "password"), "of the folder\n")
	outside := write(filepath.Join(other, "password"), "outside")
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APP_PASSWORD", "of the environment")
	t.Setenv("HOME_PASSWORD", "not to be had")

	s, err := config.NewSchema(keyPassword, rack, config.ProviderPaths, config.ProviderEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want, wrong string }{
		{"${file:" + file + ":key.password}", "of the file", ""},
		{"a ${dir:" + dir + ":password} b ${env:APP_PASSWORD}", "a of the folder b of the environment", ""},
		{"${file:" + file + ":self}", "${file:x:y}", ""},
		{"$5 ${x} ${} ${vault:a:b} ${file", "$5 ${x} ${} ${vault:a:b} ${file", ""},
		{"${env:HOME_PASSWORD}", "", "allowed.env"},
		{"${env:APP_NONE}", "", "no such variable"},
		{"${file:" + outside + ":x}", "", "allowed.paths"},
		{"${dir:" + other + ":password}", "", "allowed.paths"},
		{"${dir:" + dir + ":link}", "", "allowed.paths"},
		{"${dir:" + dir + ":../" + filepath.Base(other) + "/password}", "", "name of a file"},
		{"${dir:" + dir + "/../" + filepath.Base(other) + ":password}", "", "allowed.paths"},
		{"${file:" + file + ":none}", "", "no such key"},
		{"${file:" + file + "}", "", ""},
		{"${file:s.properties:key}", "", "absolute"},
		{"${dir:" + dir + ":none}", "", "no such file"},
	} {
		v, err := s.Load(config.Sources{
			Env: []string{"WEIR_SSL_KEY_PASSWORD=" + c.text},
			Set: []string{"config.providers.allowed.paths=" + dir, "config.providers.allowed.env=APP_"},
		})
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%s gave %q", c.text, keyPassword.Get(v).Reveal())
		case c.want == "" && !strings.Contains(err.Error(), c.wrong):
			t.Errorf("%s: got %v, want %q in it", c.text, err, c.wrong)
		case c.want != "" && (err != nil || keyPassword.Get(v).Reveal() != c.want):
			t.Errorf("%s: got %q, %v, want %q", c.text, keyPassword.Get(v).Reveal(), err, c.want)
		}
	}
	if _, err := s.Load(config.Sources{Env: []string{"WEIR_SSL_KEY_PASSWORD=${env:APP_PASSWORD}"}}); err == nil {
		t.Error("a reference was resolved that nothing allows")
	}
}

func TestScopesOverlayTheGeneralSettings(t *testing.T) {
	t.Parallel()
	auth := config.String("ssl.client.auth", "none", config.OneOf("none", "required"), config.Scoped, "x")
	password := config.Password("ssl.key.password", config.Scoped, "x")
	s, err := config.NewSchema(auth, password, rack)
	if err != nil {
		t.Fatal(err)
	}
	s = s.WithScope("listener.name.")
	v, err := s.Load(config.Sources{Set: []string{"listener.name.in.ssl.client.auth=required", "listener.name.in.plain.ssl.key.password=geheim", "ssl.key.password=other"}})
	if err != nil {
		t.Fatal(err)
	}
	in := v.Scope("listener.name.in.")
	if auth.Get(v) != "none" || auth.Get(in) != "required" || auth.Get(v.Scope("listener.name.out.")) != "none" {
		t.Errorf("got %s, %s", auth.Get(v), auth.Get(in))
	}
	if got := password.Get(in.Scope("listener.name.in.plain.")).Reveal(); got != "geheim" || password.Get(in).Reveal() != "other" {
		t.Errorf("got %q", got)
	}
	var out strings.Builder
	if err := config.Show(&out, v, false, false); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "geheim") || !strings.Contains(out.String(), "listener.name.in.ssl.client.auth") {
		t.Errorf("shown: %s", out.String())
	}
	for _, wrong := range []string{"listener.name.in.ssl.client.auth=maybe", "listener.name.in.broker.rack=r", "listener.name.in.x.y.ssl.client.auth=none", "listener.name.ssl.client.auth=none", "other.in.ssl.client.auth=none"} {
		if _, err := s.Load(config.Sources{Set: []string{wrong}}); err == nil {
			t.Errorf("%s was accepted", wrong)
		}
	}
}
