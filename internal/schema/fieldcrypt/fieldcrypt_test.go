package fieldcrypt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/secret"
)

func local(t testing.TB, text string) *Local {
	t.Helper()
	l, err := NewLocal(secret.New(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOpensWhatConfluentsClientsSealed(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join("testdata", "vectors.txt"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		n++
		decode := func(s string) []byte {
			out, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "-"))
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		material, err := local(t, f[0]).Unwrap(t.Context(), KEK{}, "", decode(f[2]))
		if err != nil {
			t.Fatalf("%s: unwrap: %v", line, err)
		}
		c, err := Algorithm(f[1]).Cipher(material)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		plain, err := c.Open(decode(f[4]))
		if err != nil || !bytes.Equal(plain, decode(f[3])) {
			t.Errorf("%s: opened to %q, %v", line, plain, err)
		}
		if f[1] == string(AES256SIV) { // deterministic: ours must be the same bytes
			if sealed, err := c.Seal(plain); err != nil || !bytes.Equal(sealed, decode(f[4])) {
				t.Errorf("%s: sealed to %x, %v", line, sealed, err)
			}
		}
	}
	if n < 9 {
		t.Errorf("%d vectors, want 9", n)
	}
}

func TestMaterialIsTinksKeyMessage(t *testing.T) {
	t.Parallel()
	for _, a := range []Algorithm{AES128GCM, AES256GCM, AES256SIV} {
		m, err := a.NewMaterial()
		if err != nil {
			t.Fatal(err)
		}
		want := []byte{0x1a, byte(a.keyBytes())}
		if a == AES256SIV {
			want[0] = 0x12
		}
		if !bytes.HasPrefix(m, want) || len(m) != 2+a.keyBytes() {
			t.Errorf("%s: material starts with %x and has %d bytes", a, m[:2], len(m))
		}
		withVersion := append([]byte{0x08, 0x00}, m...)
		if _, err := a.Cipher(withVersion); err != nil {
			t.Errorf("%s: a version written out is refused: %v", a, err)
		}
		if _, err := a.Cipher(m[:len(m)-1]); err == nil {
			t.Errorf("%s: a key that is cut off is taken", a)
		}
	}
	if _, err := Algorithm("DES").NewMaterial(); err == nil {
		t.Error("DES makes a key")
	}
}

// keys is a registry in memory.
type keys struct {
	mu     sync.Mutex
	keks   map[string]KEK
	deks   []DEK
	asked  int
	now    func() time.Time
	shared KMSes
}

func (r *keys) KEK(_ context.Context, name string) (KEK, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	k, ok := r.keks[name]
	if !ok {
		return k, ErrNotFound
	}
	return k, nil
}

func (r *keys) CreateKEK(_ context.Context, k KEK) (KEK, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.keks[k.Name]; ok {
		return k, ErrExists
	}
	r.keks[k.Name] = k
	return k, nil
}

func (r *keys) DEK(ctx context.Context, kek, subject string, a Algorithm, version int, _ bool) (DEK, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	var found DEK
	for _, d := range r.deks {
		if d.KEK == kek && d.Subject == subject && d.Algorithm == a && (d.Version == version || version == Latest && d.Version > found.Version) {
			found = d
		}
	}
	if found.Version == 0 {
		return found, ErrNotFound
	}
	if k := r.keks[kek]; k.Shared {
		var err error
		found.Material, err = r.shared.Unwrap(ctx, k, found.Wrapped)
		return found, err
	}
	return found, nil
}

func (r *keys) CreateDEK(ctx context.Context, d DEK) (DEK, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, old := range r.deks {
		if old.KEK == d.KEK && old.Subject == d.Subject && old.Algorithm == d.Algorithm && old.Version == d.Version {
			return d, ErrExists
		}
	}
	if len(d.Wrapped) == 0 {
		d.Material, _ = d.Algorithm.NewMaterial()
		var err error
		if d.Wrapped, err = r.shared.Wrap(ctx, r.keks[d.KEK], d.Material); err != nil {
			return d, err
		}
	}
	d.Created = r.now()
	stored := d
	stored.Material = nil
	r.deks = append(r.deks, stored)
	return d, nil
}

func newKeys() *keys { return &keys{keks: map[string]KEK{}, now: time.Now} }

func rule(t testing.TB, params ...string) Rule {
	t.Helper()
	m := map[string]string{"encrypt.kek.name": "kek1", "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "mykey"}
	for i := 0; i < len(params); i += 2 {
		m[params[i]] = params[i+1]
	}
	r, err := ParseRule(func(name string) string { return m[name] })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFieldsGoThereAndBack(t *testing.T) {
	t.Parallel()
	for _, a := range []Algorithm{AES128GCM, AES256GCM, AES256SIV} {
		reg, r := newKeys(), rule(t, "encrypt.dek.algorithm", string(a))
		o := Options{Registry: reg, KMS: KMSes{TypeLocal: local(t, "s")}}
		w, rd := NewExecutor(o), NewExecutor(o)
		for kind, v := range map[string]any{"STRING": "4111 1111", "BYTES": []byte{0, 1, 2}} {
			sealed, err := w.EncryptField(t.Context(), r, "orders-value", kind, v)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(sealed) == fmt.Sprint(v) {
				t.Errorf("%s: %v stays as it is", a, v)
			}
			got, err := rd.DecryptField(t.Context(), r, "orders-value", kind, sealed)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(v) {
				t.Errorf("%s: got %v, %v, want %v", a, got, err, v)
			}
			if _, err := rd.DecryptField(t.Context(), r, "other-value", kind, sealed); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: of another subject: %v, want ErrNotFound", a, err)
			}
		}
		if _, err := w.EncryptField(t.Context(), r, "s", "LONG", int64(7)); err == nil {
			t.Errorf("%s: a number is encrypted", a)
		}
		if got, err := w.EncryptField(t.Context(), r, "s", "STRING", nil); got != nil || err != nil {
			t.Errorf("%s: nil becomes %v, %v", a, got, err)
		}
		if _, err := rd.DecryptField(t.Context(), r, "orders-value", "STRING", "plain text"); !errors.Is(err, ErrDecrypt) {
			t.Errorf("%s: plain text: %v, want ErrDecrypt", a, err)
		}
	}
}

func TestDeletedKEKMakesDataUnreadable(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	reg, r := newKeys(), rule(t)
	e := NewExecutor(Options{Registry: reg, KMS: KMSes{TypeLocal: local(t, "s")}, KeyTTL: time.Minute, Now: func() time.Time { return now }})
	sealed, err := e.Encrypt(t.Context(), r, "s", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	delete(reg.keks, "kek1")
	now = now.Add(time.Minute)
	if _, err := e.Decrypt(t.Context(), r, "s", sealed); !errors.Is(err, ErrNotFound) {
		t.Errorf("when the key was deleted: %v, want ErrNotFound", err)
	}
	// The DEK is no use under a KEK with another key.
	reg.keks["kek1"] = KEK{Name: "kek1", KMSType: TypeLocal, KMSKeyID: "mykey"}
	other := NewExecutor(Options{Registry: reg, KMS: KMSes{TypeLocal: local(t, "other")}})
	if _, err := other.Decrypt(t.Context(), r, "s", sealed); !errors.Is(err, ErrDecrypt) {
		t.Errorf("under another key: %v, want ErrDecrypt", err)
	}
}

func TestKeysRotateAfterTheirDays(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	reg, r := newKeys(), rule(t, "encrypt.dek.expiry.days", "1")
	reg.now = clock
	e := NewExecutor(Options{Registry: reg, KMS: KMSes{TypeLocal: local(t, "s")}, KeyTTL: 100 * 24 * time.Hour, Now: clock})
	var sealed [][]byte
	for range 3 {
		s, err := e.Encrypt(t.Context(), r, "s", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		sealed = append(sealed, s)
		now = now.Add(25 * time.Hour)
	}
	for i, s := range sealed {
		if want := []byte{0, 0, 0, 0, byte(i + 1)}; !bytes.HasPrefix(s, want) {
			t.Errorf("value %d starts with %x, want %x", i, s[:5], want)
		}
		if got, err := e.Decrypt(t.Context(), r, "s", s); err != nil || string(got) != "x" {
			t.Errorf("value %d: %q, %v", i, got, err)
		}
	}
}

func TestSharedKEKNeedsNoKMSAtTheClient(t *testing.T) {
	t.Parallel()
	reg := newKeys()
	reg.shared = KMSes{TypeLocal: local(t, "s")}
	reg.keks["kek1"] = KEK{Name: "kek1", KMSType: TypeLocal, KMSKeyID: "mykey", Shared: true}
	e := NewExecutor(Options{Registry: reg})
	sealed, err := e.Encrypt(t.Context(), rule(t), "s", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.Decrypt(t.Context(), rule(t), "s", sealed); err != nil || string(got) != "x" {
		t.Errorf("decrypted to %q, %v", got, err)
	}
	asked := reg.asked
	for range 10 {
		if _, err := e.Encrypt(t.Context(), rule(t), "s", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if reg.asked != asked {
		t.Errorf("the registry was asked %d times for keys that are at hand", reg.asked-asked)
	}
}

func TestRuleThatContradictsTheRegistryIsRefused(t *testing.T) {
	t.Parallel()
	reg := newKeys()
	reg.keks["kek1"] = KEK{Name: "kek1", KMSType: TypeLocal, KMSKeyID: "another"}
	e := NewExecutor(Options{Registry: reg, KMS: KMSes{TypeLocal: local(t, "s")}})
	if _, err := e.Encrypt(t.Context(), rule(t), "s", nil); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("another key id: %v", err)
	}
	for name, params := range map[string][]string{
		"no name": {"encrypt.kek.name", ""}, "algorithm": {"encrypt.dek.algorithm", "DES"}, "days": {"encrypt.dek.expiry.days", "-1"},
	} {
		m := map[string]string{"encrypt.kek.name": "k", params[0]: params[1]}
		if _, err := ParseRule(func(n string) string { return m[n] }); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}

func TestAlternateKeysAreTried(t *testing.T) {
	t.Parallel()
	v := fakeVault(t)
	good := v.URL + "/transit/keys/weir"
	k := KEK{Name: "k", KMSType: TypeVault, KMSKeyID: v.URL + "/transit/keys/gone", Props: map[string]string{alternateKeyIDs: "x, " + good}}
	kms, err := NewVault(VaultOptions{Address: v.URL, Token: secret.New("t0ken")})
	if err != nil {
		t.Fatal(err)
	}
	m := KMSes{TypeVault: kms}
	wrapped, err := m.Wrap(t.Context(), k, []byte("material"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Unwrap(t.Context(), k, wrapped); err != nil || string(got) != "material" {
		t.Errorf("unwrapped to %q, %v", got, err)
	}
	k.Props = nil
	if _, err := m.Wrap(t.Context(), k, nil); err == nil {
		t.Error("wrapped by a key that is not there")
	}
}

// fakeVault is a transit engine with one key, weir.
func fakeVault(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != "t0ken" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errors":["permission denied"]}`))
			return
		}
		var in map[string]string
		_ = json.NewDecoder(r.Body).Decode(&in)
		data := map[string]string{}
		switch r.URL.Path {
		case "/v1/transit/encrypt/weir":
			data["ciphertext"] = "vault:v1:" + in["plaintext"]
		case "/v1/transit/decrypt/weir":
			data["plaintext"] = strings.TrimPrefix(in["ciphertext"], "vault:v1:")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(s.Close)
	return s
}

func TestVaultKeyOnAnotherServerIsRefused(t *testing.T) {
	t.Parallel()
	v := fakeVault(t)
	kms, err := NewVault(VaultOptions{Address: v.URL, Token: secret.New("t0ken")})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"http://169.254.169.254/transit/keys/weir", "https://x/transit/keys/weir", v.URL + "/weir", v.URL + "/transit/keys/a/b", v.URL + "/transit/../sys/keys/x", "::", ""} {
		if _, err := kms.Wrap(t.Context(), KEK{}, id, nil); err == nil {
			t.Errorf("%q is asked", id)
		}
	}
	denied, err := NewVault(VaultOptions{Address: v.URL, Token: secret.New("other")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := denied.Wrap(t.Context(), KEK{}, v.URL+"/transit/keys/weir", nil); !errors.Is(err, ErrDenied) || strings.Contains(err.Error(), "other") {
		t.Errorf("wrong token: %v, want ErrDenied", err)
	}
	for _, o := range []VaultOptions{{Address: "ftp://x", Token: secret.New("t")}, {Address: v.URL}} {
		if _, err := NewVault(o); err == nil {
			t.Errorf("%s is opened", o.Address)
		}
	}
}

func TestLocalSecretComesFromAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("mysecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile, err := OpenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := fromFile.Wrap(t.Context(), KEK{}, "", []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := local(t, "mysecret").Unwrap(t.Context(), KEK{}, "", wrapped); err != nil || string(got) != "m" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(path, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLocal(path); err == nil {
		t.Error("an empty secret is taken")
	}
}

func TestExecutorIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	e := NewExecutor(Options{Registry: newKeys(), KMS: KMSes{TypeLocal: local(t, "s")}, MaxKeys: 2})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			subject := fmt.Sprint("s", i%4)
			for range 50 {
				sealed, err := e.Encrypt(t.Context(), rule(t), subject, []byte("x"))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := e.Decrypt(t.Context(), rule(t), subject, sealed); err != nil || string(got) != "x" {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzKeyMaterial(f *testing.F) {
	for _, a := range []Algorithm{AES128GCM, AES256SIV} {
		m, _ := a.NewMaterial()
		f.Add(m, []byte("sealed"))
	}
	f.Fuzz(func(_ *testing.T, material, sealed []byte) {
		for _, a := range []Algorithm{AES128GCM, AES256GCM, AES256SIV} {
			if c, err := a.Cipher(material); err == nil {
				_, _ = c.Open(sealed)
			}
		}
	})
}

func BenchmarkField(b *testing.B) {
	for _, a := range []Algorithm{AES256GCM, AES256SIV} {
		e := NewExecutor(Options{Registry: newKeys(), KMS: KMSes{TypeLocal: local(b, "s")}})
		r := rule(b, "encrypt.dek.algorithm", string(a))
		sealed, err := e.EncryptField(b.Context(), r, "s", "STRING", "4111-1111-1111-1111")
		if err != nil {
			b.Fatal(err)
		}
		b.Run("encrypt/algorithm="+string(a), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = e.EncryptField(b.Context(), r, "s", "STRING", "4111-1111-1111-1111")
			}
		})
		b.Run("decrypt/algorithm="+string(a), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = e.DecryptField(b.Context(), r, "s", "STRING", sealed)
			}
		})
	}
}
