package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/meta"
)

// fixed gives the nonce of a vector instead of random bytes.
func exchangeWith(t testing.TB, m ScramMechanism, c Credential, id *Identity, nonce string) *scramExchange {
	t.Helper()
	random, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil {
		t.Fatal(err)
	}
	return &scramExchange{m: m, rand: bytes.NewReader(append(random, make([]byte, 64)...)), lookup: func(string, bool, ScramMechanism) (Credential, *Identity) { return c, id }}
}

func credential(t testing.TB, m ScramMechanism, password string, salt []byte, iterations int) Credential {
	t.Helper()
	salted, err := m.SaltPassword(password, salt, iterations)
	if err != nil {
		t.Fatal(err)
	}
	return NewCredential(m, salt, salted, iterations)
}

// TestVectorOfRFC7677 checks keys, proof and signature against section 3 of the RFC: its nonce is set by hand, since it is
// not of the form that is made here.
func TestVectorOfRFC7677(t *testing.T) {
	t.Parallel()
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	c := credential(t, ScramSHA256, "pencil", salt, 4096)
	id := &Identity{Principal: user("user")}
	x := exchangeWith(t, ScramSHA256, c, id, "")
	if _, _, err := x.Next(t.Context(), []byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")); err != nil {
		t.Fatal(err)
	}
	x.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	x.authMessage = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=" + x.nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
	reply, done, err := x.Next(t.Context(), []byte("c=biws,r="+x.nonce+",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if err != nil || done != id || string(reply) != "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("got %q, %v, %v", reply, done, err)
	}
}

func user(name string) Principal { return Principal{Type: "User", Name: name} }

// client is the other side, as RFC 5802 has it, with a place to go wrong at each step.
type client struct {
	m                          ScramMechanism
	password, user, nonce, gs2 string
	extensions                 string
	edit                       func(final string) string
	nonceOf                    func(string) string
}

func (c client) run(ctx context.Context, x exchange) (*Identity, error) {
	bare := "n=" + c.user + ",r=" + c.nonce + c.extensions
	first, done, err := x.Next(ctx, []byte(c.gs2+bare))
	if err != nil || done != nil {
		return done, err
	}
	fields := strings.Split(string(first), ",")
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[1], "s="))
	if err != nil {
		return nil, err
	}
	iterations := 0
	for _, d := range strings.TrimPrefix(fields[2], "i=") {
		iterations = iterations*10 + int(d-'0')
	}
	salted, err := c.m.SaltPassword(c.password, salt, iterations)
	if err != nil {
		return nil, err
	}
	nonce := fields[0]
	if c.nonceOf != nil {
		nonce = c.nonceOf(nonce)
	}
	without := "c=" + base64.StdEncoding.EncodeToString([]byte(c.gs2)) + "," + nonce
	h := c.m.hash()()
	clientKey := c.m.hmac(salted, []byte("Client Key"))
	h.Write(clientKey)
	proof := c.m.hmac(h.Sum(nil), []byte(bare+","+string(first)+","+without))
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	final := without + ",p=" + base64.StdEncoding.EncodeToString(proof)
	if c.edit != nil {
		final = c.edit(final)
	}
	reply, done, err := x.Next(ctx, []byte(final))
	if err != nil {
		return nil, err
	}
	want := "v=" + base64.StdEncoding.EncodeToString(c.m.hmac(c.m.hmac(salted, []byte("Server Key")), []byte(bare+","+string(first)+","+without)))
	if string(reply) != want {
		return nil, errors.New("the server did not prove that it knows the password")
	}
	return done, nil
}

func TestScramTakesTheRightPasswordOnly(t *testing.T) {
	t.Parallel()
	for _, m := range []ScramMechanism{ScramSHA256, ScramSHA512} {
		c := credential(t, m, "pencil", []byte("0123456789abcdef"), 4096)
		id := &Identity{Principal: user("us,er=x")}
		good := client{m: m, password: "pencil", user: "us=2Cer=3Dx", nonce: "abc", gs2: "n,,"}
		for name, change := range map[string]func(*client){
			"good":           func(*client) {},
			"good y":         func(c *client) { c.gs2 = "y,," },
			"good authzid":   func(c *client) { c.gs2 = "n,a=us=2Cer=3Dx," },
			"good extension": func(c *client) { c.extensions = ",tokenauth=false,x=y" },
			"password":       func(c *client) { c.password = "pen" },
			"empty password": func(c *client) { c.password = "" },
			"authzid":        func(c *client) { c.gs2 = "n,a=admin," },
			"binding":        func(c *client) { c.gs2 = "p=tls-unique,," },
			"flag":           func(c *client) { c.gs2 = "x,," },
			"no header":      func(c *client) { c.gs2 = "" },
			"escape":         func(c *client) { c.user = "a=2Db" },
			"no user":        func(c *client) { c.user = "" },
			"no nonce":       func(c *client) { c.nonce = "" },
			"nonce":          func(c *client) { c.nonce = "a\x00b" },
			"mandatory":      func(c *client) { c.extensions = ",m=x" },
			"other nonce":    func(c *client) { c.nonceOf = func(string) string { return "r=abcabc" } },
			"own nonce":      func(c *client) { c.nonceOf = func(string) string { return "r=abc" } },
			"longer nonce":   func(c *client) { c.nonceOf = func(n string) string { return n + "x" } },
			"downgrade":      func(c *client) { c.edit = func(f string) string { return strings.Replace(f, "c=biws", "c=eSws", 1) } },
			"no proof":       func(c *client) { c.edit = func(f string) string { return f[:strings.Index(f, ",p=")] } },
			"empty proof":    func(c *client) { c.edit = func(f string) string { return f[:strings.Index(f, ",p=")+3] } },
			"reordered": func(c *client) {
				c.edit = func(f string) string { p := strings.SplitN(f, ",", 3); return p[1] + "," + p[0] + "," + p[2] }
			},
			"zero proof": func(c *client) {
				c.edit = func(f string) string {
					return f[:strings.Index(f, ",p=")+3] + base64.StdEncoding.EncodeToString(make([]byte, m.hash()().Size()))
				}
			},
			"extension, no sum": func(c *client) { c.edit = func(f string) string { return strings.Replace(f, ",p=", ",x=y,p=", 1) } },
		} {
			cl := good
			change(&cl)
			x := exchangeWith(t, m, c, id, "")
			got, err := cl.run(t.Context(), x)
			if strings.HasPrefix(name, "good") != (err == nil && got == id) {
				t.Errorf("%s, %s: got %v, %v", m, name, got, err)
			}
			if _, again, err := x.Next(t.Context(), []byte("c=biws,r=x,p=")); err == nil || again != nil {
				t.Errorf("%s, %s: the exchange goes on after its end", m, name)
			}
		}
	}
}

func TestUnknownUsersLookLikeUsers(t *testing.T) {
	t.Parallel()
	u, err := OpenUsers(t.Context(), meta.NewMem(nil), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.AddUser(t.Context(), "alice", "secret"); err != nil {
		t.Fatal(err)
	}
	real, known := u.credentialOf("alice", ScramSHA512)
	if !known {
		t.Fatal("alice is not known")
	}
	a, known := u.credentialOf("nobody", ScramSHA512)
	b, _ := u.credentialOf("nobody", ScramSHA512)
	other, _ := u.credentialOf("somebody", ScramSHA512)
	if known || a.Iterations != real.Iterations || len(a.Salt) != len(real.Salt) || !bytes.Equal(a.Salt, b.Salt) || bytes.Equal(a.Salt, other.Salt) {
		t.Errorf("made up %+v, then %+v; real %+v", a, b, real)
	}
	// Nobody gets in with it, whatever the password.
	for _, password := range []string{"", "secret"} {
		x := &scramExchange{m: ScramSHA512, rand: bytes.NewReader(make([]byte, 64)), lookup: func(n string, _ bool, m ScramMechanism) (Credential, *Identity) {
			c, _ := u.credentialOf(n, m)
			return c, &Identity{}
		}}
		if id, err := (client{m: ScramSHA512, password: password, user: "nobody", nonce: "n", gs2: "n,,"}).run(t.Context(), x); err == nil {
			t.Errorf("password %q let nobody in: %v", password, id)
		}
	}
	// The salts stay the same when the broker starts again.
	again, err := OpenUsers(t.Context(), u.meta, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := again.credentialOf("nobody", ScramSHA512); !bytes.Equal(c.Salt, a.Salt) {
		t.Error("another salt after a start")
	}
}

func FuzzScram(f *testing.F) {
	c := credential(f, ScramSHA256, "pencil", []byte("0123456789abcdef"), 4096)
	f.Add("n,,n=user,r=abc", "c=biws,r=abcAAAA,p=AAAA")
	f.Add("y,a=u,n=u,r=abc,tokenauth=true", "c=eSxhPXUs,r=abc,x=y,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	f.Fuzz(func(t *testing.T, first, final string) {
		x := exchangeWith(t, ScramSHA256, c, &Identity{}, "")
		if _, done, err := x.Next(t.Context(), []byte(first)); done != nil {
			t.Fatalf("logged in by the first message, %v", err)
		} else if err != nil {
			return
		}
		if _, done, _ := x.Next(t.Context(), []byte(final)); done != nil {
			t.Fatal("logged in without the password")
		}
	})
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x00alice\x00secret"))
	f.Add([]byte("alice\x00alice\x00x"))
	f.Fuzz(func(t *testing.T, message []byte) {
		x := &plainExchange{check: func(_ context.Context, user, password string) (bool, error) {
			return user == "alice" && password == "secret", nil
		}}
		_, id, err := x.Next(t.Context(), message)
		if (id == nil) == (err == nil) || id != nil && string(message) != "\x00alice\x00secret" && string(message) != "alice\x00alice\x00secret" {
			t.Fatalf("got %v, %v", id, err)
		}
	})
}

func FuzzBearer(f *testing.F) {
	f.Add("n,,\x01auth=Bearer abc\x01\x01")
	f.Add("n,a=me,\x01auth=Bearer abc\x01logicalCluster=x\x01\x01")
	f.Fuzz(func(t *testing.T, message string) {
		if _, token, err := parseBearer(message); err == nil && (token == "" || !strings.Contains(message, token)) {
			t.Fatalf("%q gave the token %q", message, token)
		}
	})
}

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"},{"kty":"EC","kid":"b","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","kid":"c","crv":"Ed25519","x":"AA"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, err := parseKeySet(doc)
		for id, k := range keys {
			if err != nil || id == "" || k.key == nil {
				t.Fatalf("key %q is %v, %v", id, k, err)
			}
		}
	})
}

func FuzzStoredValues(f *testing.F) {
	f.Add(encodeCredential(Credential{4096, []byte("salt"), []byte("a"), []byte("b")}))
	f.Add(encodeToken(Token{Owner: user("a"), Renewers: []Principal{user("b")}}))
	f.Fuzz(func(t *testing.T, value []byte) {
		if c, err := decodeCredential(value); err == nil && !bytes.Equal(encodeCredential(c), value) {
			t.Errorf("%x is read as %+v", value, c)
		}
		if k, err := decodeToken("id", value); err == nil && k.Owner == (Principal{}) && len(value) > 64 {
			t.Logf("an empty owner in %x", value)
		}
	})
}

func FuzzMapping(f *testing.F) {
	f.Add("RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L, DEFAULT", "CN=a,OU=ServiceUsers")
	f.Fuzz(func(t *testing.T, rules, dn string) {
		if m, err := parseMapping(rules); err == nil {
			_, _ = m.name(dn) // an error is no rule that matches
		}
	})
}
