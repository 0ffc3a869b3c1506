package kms

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/seal"
)

// fakeVault is the transit engine with one key, which turns text around.
func fakeVault(t *testing.T, mount string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, text string) {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{text}})
		}
		if r.Header.Get("X-Vault-Token") != "t0ken" {
			refuse(http.StatusForbidden, "permission denied")
			return
		}
		var in map[string]string
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case "/v1/" + mount + "/encrypt/weir":
			_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"ciphertext": "vault:v1:" + in["plaintext"]}})
		case "/v1/" + mount + "/decrypt/weir":
			text := strings.TrimPrefix(in["ciphertext"], "vault:v1:")
			if _, err := base64.StdEncoding.DecodeString(text); err != nil {
				refuse(http.StatusBadRequest, "invalid ciphertext")
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"plaintext": text}})
		default:
			refuse(http.StatusNotFound, "no handler")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func vaultEnv(address, token string) func(string) string {
	return func(name string) string { return map[string]string{"VAULT_ADDR": address, "VAULT_TOKEN": token}[name] }
}

func TestVaultWrapsTheRing(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]string{"weir": "transit", "kv/engine/keys/weir": "kv/engine"} {
		s := fakeVault(t, mount)
		v, err := openVault(name, vaultEnv(s.URL+"/", "t0ken"))
		if err != nil {
			t.Fatal(err)
		}
		store := meta.NewMem(nil)
		for range 2 { // made, then opened
			if ring, err := seal.OpenRing(t.Context(), store, v, nil); err != nil || ring == nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if _, err := v.Decrypt(t.Context(), []byte("vault:v1:?")); !errors.Is(err, seal.ErrKey) {
			t.Errorf("%s: decrypt of what another key wrapped: %v, want ErrKey", name, err)
		}
		if _, err := v.Decrypt(t.Context(), []byte("weir1...")); !errors.Is(err, seal.ErrKey) {
			t.Errorf("%s: decrypt of what a key file wrapped: %v, want ErrKey", name, err)
		}
		denied, err := openVault(name, vaultEnv(s.URL, "other"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := denied.Encrypt(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "permission denied") || strings.Contains(err.Error(), "other") {
			t.Errorf("%s: with a wrong token: %v", name, err)
		}
	}
}

func TestKeyURLs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"file:" + path, "file://" + path} {
		k, err := Open(t.Context(), u)
		if err != nil {
			t.Fatalf("%s: %v", u, err)
		}
		wrapped, err := k.Encrypt(t.Context(), []byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := k.Decrypt(t.Context(), wrapped); err != nil || string(plain) != "key" {
			t.Errorf("%s: %q, %v", u, plain, err)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, u := range []string{"/etc/key", "file:", "base64key://abc", "s3://key", "awskms:"} {
		if err := Check(u); err == nil {
			t.Errorf("%q is accepted", u)
		}
		if _, err := Open(t.Context(), u); err == nil {
			t.Errorf("%q is opened", u)
		}
	}
	if _, err := openVault("k", vaultEnv("", "")); err == nil {
		t.Error("Vault without an address is opened")
	}
	for _, u := range []string{"awskms://alias/weir?region=eu-west-1", "azurekeyvault://v.vault.azure.net/keys/weir"} {
		if k, err := Open(t.Context(), u); err != nil {
			t.Errorf("%s: %v", u, err)
		} else if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}
