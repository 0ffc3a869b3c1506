package awskms

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

const arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// fakeAWS wraps by putting "aws:" in front, for one key.
func fakeAWS(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ KeyId, Plaintext, CiphertextBlob string } //nolint:revive // AWS's names
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		decrypt := strings.HasSuffix(r.Header.Get("X-Amz-Target"), "Decrypt")
		if in.KeyId != arn && !(decrypt && in.KeyId == "") { // a blob names its key itself
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"__type":"AccessDeniedException","message":"not yours"}`))
			return
		}
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/kms/") {
			t.Errorf("signed as %s", r.Header.Get("Authorization"))
		}
		decode := func(s string) string {
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				t.Error(err)
			}
			return string(b)
		}
		out := map[string]string{"KeyId": arn}
		if !decrypt {
			out["CiphertextBlob"] = base64.StdEncoding.EncodeToString([]byte("aws:" + decode(in.Plaintext)))
		} else {
			out["Plaintext"] = base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(decode(in.CiphertextBlob), "aws:")))
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestWrapsByTheKeyOfTheARN(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_KMS", fakeAWS(t).URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	kek := fieldcrypt.KEK{Name: "k", KMSType: fieldcrypt.TypeAWS, KMSKeyID: arn}
	for _, s := range []*KMS{{}, {FromKEK: true}} {
		kms := fieldcrypt.KMSes{fieldcrypt.TypeAWS: s}
		for range 2 { // opened, then kept
			wrapped, err := kms.Wrap(t.Context(), kek, []byte("material"))
			if err != nil || string(wrapped) != "aws:material" { // the blob itself, nothing around it
				t.Fatalf("wrapped to %q, %v", wrapped, err)
			}
			if got, err := kms.Unwrap(t.Context(), kek, wrapped); err != nil || string(got) != "material" {
				t.Errorf("unwrapped to %q, %v", got, err)
			}
		}
		other := kek
		other.KMSKeyID = strings.Replace(arn, "1234abcd", "ffffffff", 1)
		if _, err := kms.Wrap(t.Context(), other, []byte("x")); !errors.Is(err, fieldcrypt.ErrDenied) {
			t.Errorf("a key of others: %v, want ErrDenied", err)
		}
		kek.Props = map[string]string{"access.key.id": "a", "secret.access.key": "b"}
	}
	for _, id := range []string{"", "alias/x", "arn:aws:s3:eu-west-1:1:key/x", "arn:aws:kms::1:key/x"} {
		if _, err := (&KMS{}).Wrap(t.Context(), kek, id, nil); err == nil {
			t.Errorf("%q is taken for an ARN", id)
		}
	}
}
