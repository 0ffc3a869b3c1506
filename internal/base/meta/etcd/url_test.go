package etcd

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/secret"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Location{
		"etcd://h1:2379,h2:1/prod/weir": {Endpoints: []string{"h1:2379", "h2:1"}, Prefix: "prod/weir"},
		"etcd://h1":                     {Endpoints: []string{"h1:2379"}, Prefix: "weir"},
		"etcd://[::1],[::2]:5/":         {Endpoints: []string{"[::1]:2379", "[::2]:5"}, Prefix: "weir"},
		"etcd://h,h:2379/a%20b":         {Endpoints: []string{"h:2379"}, Prefix: "a b"},
		"etcd://h/p?tls=true":           {Endpoints: []string{"h:2379"}, Prefix: "p", TLS: true},
		"etcd://h/p?tls=false":          {Endpoints: []string{"h:2379"}, Prefix: "p"},
		"etcd://h/p?ca_file=/ca&cert_file=/c&key_file=/k&credentials_file=/user@file": {
			Endpoints: []string{"h:2379"}, Prefix: "p", TLS: true, CAFile: "/ca", CertFile: "/c", KeyFile: "/k", CredentialsFile: "/user@file",
		},
	} {
		got, err := ParseURL(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"http://h/p":                       "must begin with etcd://",
		"etcd:///p":                        "no address",
		"etcd://":                          "no address",
		"etcd://h,,g/p":                    "no address",
		"etcd://h:0/p":                     "no address",
		"etcd://h:65536/p":                 "no address",
		"etcd://a:b:c/p":                   "no address",
		"etcd://user:s3cret@h/p":           UsernameVariable,
		"etcd://h,user:s3cret@g/p":         UsernameVariable,
		"etcd://h/p?password=s3cret":       PasswordVariable,
		"etcd://h/p?cert_file=/c":          "go together",
		"etcd://h/p?tls=perhaps":           "true or false",
		"etcd://h/p?tls=false&ca_file=/ca": "tls=false",
		"etcd://h/p?prefix=q":              "unknown option",
		"etcd://h/p?tls=true&tls=true":     "twice",
		"etcd://h/p?%zz":                   "escaped",
		"etcd://h/%zz":                     "escaped",
		"etcd://h/" + strings.Repeat("x", maxPrefixBytes+1):        "prefix",
		"etcd://" + strings.Repeat("h,", maxEndpoints) + "g":       "",
		"etcd://a" + manyHosts(maxEndpoints) + "/p":                "the most are",
		"etcd://h/p?credentials_file=/c&credentials_file=/d&tls=1": "twice",
	} {
		_, err := ParseURL(text)
		if why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("%s: got %v, want an error with %q", text, err, why)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows the password: %v", text, err)
		}
	}
}

func manyHosts(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(",h" + strings.Repeat("x", i+1))
	}
	return b.String()
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"etcd://h1:2379,h2/p?tls=true", "etcd://[::1]:1/a/b?ca_file=/x", "etcd://u:p@h/", "etcd://h/%2f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseURL(text)
		if err != nil {
			return
		}
		again, err := ParseURL(l.String())
		if err != nil || !reflect.DeepEqual(again.Endpoints, l.Endpoints) || again.Prefix != l.Prefix {
			t.Errorf("%q: read back from %q: %+v, %v, want %+v", text, l, again, err, l)
		}
	})
}

func TestCredentialsComeFromTheFileOrTheEnvironment(t *testing.T) {
	t.Parallel()
	env := func(name string) string {
		return map[string]string{UsernameVariable: "env", PasswordVariable: "e-pass"}[name]
	}
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	user, password, err := Location{}.Credentials(env)
	if err != nil || user != "env" || !password.Equal(secret.New("e-pass")) {
		t.Errorf("environment: got %q, %v", user, err)
	}
	write("username=weir\npassword=f-pass\n")
	user, password, err = Location{CredentialsFile: file}.Credentials(env)
	if err != nil || user != "weir" || !password.Equal(secret.New("f-pass")) {
		t.Errorf("file: got %q, %v", user, err)
	}
	write("password=f-pass\n")
	if _, _, err = (Location{CredentialsFile: file}).Credentials(env); err == nil || strings.Contains(err.Error(), "f-pass") {
		t.Errorf("file without a user: %v", err)
	}
	if _, _, err = (Location{CredentialsFile: file + "x"}).Credentials(env); err == nil {
		t.Error("no error for a file that is not there")
	}
}
