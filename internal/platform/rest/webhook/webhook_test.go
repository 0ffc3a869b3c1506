package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/secret"
)

func sign(key, text string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// The example of GitHub's documentation.
func TestGitHubsOwnExampleIsAccepted(t *testing.T) {
	t.Parallel()
	c := Check{Kind: GitHub, Secret: secret.New("It's a Secret to Everybody")}
	h := http.Header{"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}}
	if err := c.Verify(h, []byte("Hello, World!"), time.Now()); err != nil {
		t.Error(err)
	}
	if err := c.Verify(h, []byte("Hello, World?"), time.Now()); !errors.Is(err, ErrSignature) {
		t.Errorf("another body: %v", err)
	}
}

func TestSignaturesAreChecked(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	body := `{"a":1}`
	good := hex.EncodeToString(sign("s", body))
	stripe := func(at int64, key string) string {
		return hex.EncodeToString(sign(key, fmt.Sprintf("%d.%s", at, body)))
	}
	for name, c := range map[string]struct {
		check  Check
		header string
		value  string
		ok     bool
	}{
		"github":               {Check{Kind: GitHub}, "X-Hub-Signature-256", "sha256=" + good, true},
		"github no prefix":     {Check{Kind: GitHub}, "X-Hub-Signature-256", good, false},
		"github sha1":          {Check{Kind: GitHub}, "X-Hub-Signature-256", "sha1=" + good, false},
		"github cut":           {Check{Kind: GitHub}, "X-Hub-Signature-256", "sha256=" + good[:62], false},
		"github nothing":       {Check{Kind: GitHub}, "X-Hub-Signature-256", "sha256=", false},
		"github other key":     {Check{Kind: GitHub}, "X-Hub-Signature-256", "sha256=" + hex.EncodeToString(sign("t", body)), false},
		"other header":         {Check{Kind: GitHub}, "X-Signature-256", "sha256=" + good, false},
		"generic":              {Check{Kind: Generic}, "X-Signature-256", good, true},
		"generic prefix":       {Check{Kind: Generic}, "X-Signature-256", "sha256=" + good, true},
		"generic base64":       {Check{Kind: Generic}, "X-Signature-256", base64.StdEncoding.EncodeToString(sign("s", body)), true},
		"generic own header":   {Check{Kind: Generic, Header: "X-Shop-Hmac"}, "X-Shop-Hmac", good, true},
		"generic wrong":        {Check{Kind: Generic}, "X-Signature-256", "zz", false},
		"stripe":               {Check{Kind: Stripe}, "Stripe-Signature", fmt.Sprintf("t=%d,v1=%s,v0=x", now.Unix(), stripe(now.Unix(), "s")), true},
		"stripe two":           {Check{Kind: Stripe}, "Stripe-Signature", fmt.Sprintf("t=%d,v1=%s,v1=%s", now.Unix(), stripe(now.Unix(), "old"), stripe(now.Unix(), "s")), true},
		"stripe late":          {Check{Kind: Stripe}, "Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", now.Unix()-301, stripe(now.Unix()-301, "s")), false},
		"stripe within":        {Check{Kind: Stripe}, "Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", now.Unix()-300, stripe(now.Unix()-300, "s")), true},
		"stripe early":         {Check{Kind: Stripe}, "Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", now.Unix()+301, stripe(now.Unix()+301, "s")), false},
		"stripe other time":    {Check{Kind: Stripe}, "Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", now.Unix()+1, stripe(now.Unix(), "s")), false},
		"stripe no time":       {Check{Kind: Stripe}, "Stripe-Signature", "v1=" + stripe(now.Unix(), "s"), false},
		"stripe long ago":      {Check{Kind: Stripe, Tolerance: time.Hour}, "Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", int64(-1<<63), stripe(-1<<63, "s")), false},
		"stripe own tolerance": {Check{Kind: Stripe, Tolerance: time.Hour}, "Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", now.Unix()-3000, stripe(now.Unix()-3000, "s")), true},
	} {
		c.check.Secret = secret.New("s")
		err := c.check.Verify(http.Header{c.header: {c.value}}, []byte(body), now)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v is not ErrSignature", name, err)
		}
		c.check.Secret = secret.Text{}
		if c.check.Verify(http.Header{c.header: {c.value}}, []byte(body), now) == nil {
			t.Errorf("%s: accepted without a secret", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("github", "sha256=00", []byte("x"))
	f.Add("stripe", "t=1,v1=00", []byte("x"))
	f.Add("generic", "====", []byte(nil))
	f.Fuzz(func(t *testing.T, kind, header string, body []byte) {
		c := Check{Kind: Kind(kind), Secret: secret.New("a secret that nobody guesses")}
		for _, name := range []string{"X-Hub-Signature-256", "Stripe-Signature", "X-Signature-256"} {
			if c.Verify(http.Header{name: {header}}, body, time.Unix(1, 0)) == nil {
				t.Errorf("%s %q was accepted", name, header)
			}
		}
	})
}
