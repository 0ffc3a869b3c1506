package s3

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/weir-stream/weir/internal/base/blob"
)

// noKeys takes everything away that keys could come from. It forbids t.Parallel.
func noKeys(t *testing.T) {
	t.Helper()
	for _, v := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_REGION", "AWS_DEFAULT_REGION",
	} {
		t.Setenv(v, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func wantKeys(t *testing.T, k *keyring, access, token string) {
	t.Helper()
	v, err := k.get(t.Context())
	if err != nil || v.AccessKeyID != access || v.SessionToken != token {
		t.Errorf("got %q, %q, %v, want %q, %q", v.AccessKeyID, v.SessionToken, err, access, token)
	}
}

func TestKeysComeFromTheFirstPlaceThatHasThem(t *testing.T) {
	noKeys(t)
	_, err := newKeyring(&Options{}).get(t.Context())
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("got %v, want what to set", err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", keysFile(t, "shared"))
	wantKeys(t, newKeyring(&Options{}), "shared", "")
	t.Setenv("AWS_ACCESS_KEY_ID", "env")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	t.Setenv("AWS_SESSION_TOKEN", "session")
	wantKeys(t, newKeyring(&Options{}), "env", "session")
	wantKeys(t, newKeyring(&Options{CredentialsFile: keysFile(t, "file")}), "file", "")
	if _, err := newKeyring(&Options{CredentialsFile: filepath.Join(t.TempDir(), "none")}).get(t.Context()); err == nil {
		t.Error("a file that was named and is not there is passed over")
	}
}

// roleJSON is what the endpoints of roles answer.
func roleJSON(access string, lives time.Duration) string {
	return fmt.Sprintf(`{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":"s","Token":"t","Expiration":%q}`, access, time.Now().Add(lives).UTC().Format(time.RFC3339))
}

func TestRoleOfAContainerGivesKeys(t *testing.T) {
	noKeys(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "pass" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprint(w, roleJSON("container", time.Hour))
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL+"/role")
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pass")
	wantKeys(t, newKeyring(&Options{}), "container", "t")
}

func TestRoleOfAMachineGivesKeys(t *testing.T) {
	noKeys(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == credentials.TokenPath:
			_, _ = fmt.Fprint(w, "imds-token")
		case r.Header.Get(credentials.TokenRequestHeader) != "imds-token":
			w.WriteHeader(http.StatusUnauthorized) // version 1 is not served
		case r.URL.Path == credentials.DefaultIAMSecurityCredsPath:
			_, _ = fmt.Fprint(w, "role")
		default:
			_, _ = fmt.Fprint(w, roleJSON("machine", time.Hour))
		}
	}))
	t.Cleanup(server.Close)
	k := newKeyring(&Options{})
	k.sources = []source{{"machine", &credentials.IAM{Client: k.client, Endpoint: server.URL}}}
	wantKeys(t, k, "machine", "t")
}

func TestWebIdentityGivesKeys(t *testing.T) {
	noKeys(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("WebIdentityToken") != "jwt" || r.FormValue("RoleArn") != "arn:aws:iam::1:role/r" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>web</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("jwt"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
	k := newKeyring(&Options{})
	k.sources = []source{{"web identity", &credentials.IAM{Client: k.client, Endpoint: server.URL}}}
	wantKeys(t, k, "web", "t")
}

// role is a source whose keys run out.
type role struct {
	calls   atomic.Int64
	lives   time.Duration
	fails   atomic.Bool
	same    bool        // it has the same keys each time
	expired atomic.Bool // it wants to be asked again
}

func (r *role) Retrieve() (credentials.Value, error) { return r.RetrieveWithCredContext(nil) }

func (r *role) IsExpired() bool { return r.expired.Load() }

func (r *role) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	n := r.calls.Add(1)
	if r.fails.Load() {
		return credentials.Value{}, errors.New("away")
	}
	r.expired.Store(false)
	if r.same {
		n = 1
	}
	return credentials.Value{AccessKeyID: fmt.Sprint("key", n), SecretAccessKey: "s", Expiration: time.Now().Add(r.lives)}, nil
}

func TestKeysThatHoldAreUsedWhileNewOnesCannotBeHad(t *testing.T) {
	t.Parallel()
	r := &role{lives: time.Hour}
	k := newKeyring(&Options{})
	k.sources = []source{{"role", r}}
	wantKeys(t, k, "key1", "")
	wantKeys(t, k, "key1", "")
	r.expired.Store(true)
	r.fails.Store(true)
	wantKeys(t, k, "key1", "")
	wantKeys(t, k, "key1", "") // and the source is left alone for a while
	if n := r.calls.Load(); n != 2 {
		t.Errorf("the source was asked %d times, want 2", n)
	}
	short := &role{lives: keysMargin / 2}
	k = newKeyring(&Options{})
	k.sources = []source{{"role", short}}
	wantKeys(t, k, "key1", "")
	wantKeys(t, k, "key2", "") // the first are in their last minute
	short.fails.Store(true)
	if v, err := k.get(t.Context()); err == nil {
		t.Errorf("got %q, want an error", v.AccessKeyID)
	}
}

// Whatever way the service says that it does not know the keys of a file any more: what asks for something meanwhile does not fail.
func TestRefusedKeysAreReplacedInFlight(t *testing.T) {
	t.Parallel()
	for _, refusal := range []struct {
		status int
		code   string
		secret bool // the access key stays
	}{
		{http.StatusBadRequest, "ExpiredToken", false},
		{http.StatusForbidden, "InvalidAccessKeyId", false},
		{http.StatusForbidden, "SignatureDoesNotMatch", true},
		{http.StatusBadRequest, "InvalidToken", false},
	} {
		t.Run(refusal.code, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			file := keysFile(t, "old")
			var replaced atomic.Bool
			f.intercept = func(w http.ResponseWriter, r *http.Request, _ string, _ int, _ http.HandlerFunc) bool {
				if refusal.secret && replaced.Load() || !refusal.secret && !strings.Contains(r.Header.Get("Authorization"), "Credential=old/") {
					return false
				}
				if refusal.secret { // as whoever rotates them does
					if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = old\naws_secret_access_key = other\n"), 0o600); err != nil {
						t.Error(err)
					}
					replaced.Store(true)
				} else {
					writeKeys(t, file, "new")
				}
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusForbidden)
				} else {
					refuse(w, refusal.status, refusal.code)
				}
				return true
			}
			s := f.open(t, func(o *Options) { o.CredentialsFile = file })
			if err := s.PutIfAbsent(t.Context(), "k", nil); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("HEAD", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		file := keysFile(t, "old")
		s := f.open(t, func(o *Options) { o.CredentialsFile = file })
		if err := s.PutIfAbsent(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
		f.intercept = func(w http.ResponseWriter, r *http.Request, op string, _ int, _ http.HandlerFunc) bool {
			if op != opHead || !strings.Contains(r.Header.Get("Authorization"), "Credential=old/") {
				return false
			}
			writeKeys(t, file, "new")
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		if err := s.PutIfAbsent(t.Context(), "k", nil); !errors.Is(err, blob.ErrExists) {
			t.Errorf("got %v, want %v", err, blob.ErrExists)
		}
	})
}

// Keys that nobody replaces are refused at once, and their sources are left alone.
func TestRefusedKeysThatStayAreAskedForOnceInAWhile(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int, _ http.HandlerFunc) bool {
		refuse(w, http.StatusForbidden, "InvalidAccessKeyId")
		return true
	}
	s := f.open(t)
	r := &role{lives: time.Hour, same: true}
	s.keys.sources = []source{{"role", r}}
	begin := time.Now()
	for range 20 {
		if err := s.Put(t.Context(), "k", nil); !hasStatus(err, http.StatusForbidden) {
			t.Fatalf("got %v, want a refusal", err)
		}
	}
	if n := f.requests(opPut); n != 20 {
		t.Errorf("%d requests for 20 puts", n)
	}
	if n, most := r.calls.Load(), 3+int64(time.Since(begin)/keysAgain); n < 2 || n > most {
		t.Errorf("the source was asked %d times, want once, after the first refusal, and once a second: at most %d", n, most)
	}
}
