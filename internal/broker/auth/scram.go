package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
)

// ScramMechanism is a mechanism of SCRAM, with the protocol's numbers.
type ScramMechanism int8

// The mechanisms.
const (
	ScramUnknown ScramMechanism = iota
	ScramSHA256
	ScramSHA512
)

// Bounds of what a credential may ask of a client and of the broker: the first is the least that RFC 7677 allows.
const (
	MinScramIterations = 4096
	MaxScramIterations = 16384
	// NewScramIterations and newSaltBytes are for credentials that are made here.
	NewScramIterations = 8192
	newSaltBytes       = 24
)

// String is the name of the SASL mechanism.
func (m ScramMechanism) String() string {
	switch m {
	case ScramSHA256:
		return "SCRAM-SHA-256"
	case ScramSHA512:
		return "SCRAM-SHA-512"
	}
	return "UNKNOWN"
}

// ScramMechanismOf is the mechanism of a name.
func ScramMechanismOf(name string) (ScramMechanism, bool) {
	for _, m := range []ScramMechanism{ScramSHA256, ScramSHA512} {
		if m.String() == name {
			return m, true
		}
	}
	return ScramUnknown, false
}

func (m ScramMechanism) hash() func() hash.Hash {
	if m == ScramSHA512 {
		return sha512.New
	}
	return sha256.New
}

func (m ScramMechanism) hmac(key []byte, text ...[]byte) []byte {
	h := hmac.New(m.hash(), key)
	for _, t := range text {
		h.Write(t)
	}
	return h.Sum(nil)
}

// SaltPassword is Hi of RFC 5802. As in Kafka, the password is taken as its UTF-8 bytes, without SASLprep.
func (m ScramMechanism) SaltPassword(password string, salt []byte, iterations int) ([]byte, error) {
	salted, err := pbkdf2.Key(m.hash(), password, salt, iterations, m.hash()().Size())
	if err != nil {
		return nil, fmt.Errorf("salt a password: %w", err)
	}
	return salted, nil
}

// Credential is what the broker keeps of a password: enough to check a proof of it, not enough to make one.
type Credential struct {
	Iterations                 int
	Salt, StoredKey, ServerKey []byte
}

// NewCredential makes a credential from a salted password.
func NewCredential(m ScramMechanism, salt, saltedPassword []byte, iterations int) Credential {
	h := m.hash()()
	h.Write(m.hmac(saltedPassword, []byte("Client Key")))
	return Credential{Iterations: iterations, Salt: bytes.Clone(salt), StoredKey: h.Sum(nil), ServerKey: m.hmac(saltedPassword, []byte("Server Key"))}
}

// matches tells whether a password is the credential's. It takes as long as the iterations make it.
func (c Credential) matches(m ScramMechanism, password string) bool {
	salted, err := m.SaltPassword(password, c.Salt, c.Iterations)
	if err != nil {
		return false
	}
	return subtle.ConstantTimeCompare(NewCredential(m, c.Salt, salted, c.Iterations).StoredKey, c.StoredKey) == 1
}

// credentialOf is a user's credential for m. Of a user without one it is made up: always the same for the same name, of the
// usual form, and of no password, so that nobody learns who exists.
func (u *Users) credentialOf(name string, m ScramMechanism) (c Credential, known bool) {
	v := u.view.Load()
	shape, ok := v.usual[m]
	if !ok {
		shape = credentialShape{NewScramIterations, newSaltBytes}
	}
	var salt []byte
	for i := byte(0); len(salt) < shape.saltBytes; i++ {
		salt = append(salt, ScramSHA512.hmac(u.seed[:], []byte{byte(m), i}, []byte(name))...)
	}
	if c, ok := v.users[name][m]; ok { // only now: a user who exists takes as long as one who does not
		return c, true
	}
	nothing := make([]byte, m.hash()().Size())
	return Credential{Iterations: shape.iterations, Salt: salt[:shape.saltBytes], StoredKey: nothing, ServerKey: nothing}, false
}

// scramLookup finds the credential of a name. It always gives one; identity is nil for those that nobody can log in with.
type scramLookup func(name string, token bool, m ScramMechanism) (Credential, *Identity)

// scramExchange is the server's side of RFC 5802, without channel binding.
//
//	client-first ──> server-first ──> client-final ──> server-final
type scramExchange struct {
	m      ScramMechanism
	lookup scramLookup
	rand   io.Reader

	credential  Credential
	identity    *Identity
	user        string
	gs2         string // header of client-first, which client-final repeats
	nonce       string
	authMessage string // of what was said so far
	step        int
}

// maxScramBytes bounds a message; names, nonces and proofs are far shorter.
const maxScramBytes = 8 << 10

var errScramForm = errors.New("the message is not of the form of RFC 5802")

// User is who wants to log in, once that was said.
func (x *scramExchange) User() string { return x.user }

func (x *scramExchange) Next(_ context.Context, message []byte) (reply []byte, done *Identity, err error) {
	x.step++
	if len(message) > maxScramBytes {
		return nil, nil, errScramForm
	}
	switch x.step {
	case 1:
		reply, err = x.first(string(message))
	case 2:
		reply, done, err = x.final(string(message))
	default:
		err = errors.New("the exchange has ended")
	}
	if err != nil {
		x.step = 3
	}
	return reply, done, err
}

func (x *scramExchange) first(message string) ([]byte, error) {
	c, err := parseClientFirst(message)
	if err != nil {
		return nil, err
	}
	if c.authzid != "" && c.authzid != c.user {
		return nil, &Failure{Text: "Authentication failed: Client requested an authorization id that is different from username", Cause: errors.New("another authorization id")}
	}
	var random [24]byte
	if _, err := io.ReadFull(x.rand, random[:]); err != nil {
		return nil, fmt.Errorf("make a nonce: %w", err)
	}
	x.user, x.gs2, x.nonce = c.user, c.gs2, c.nonce+base64.RawURLEncoding.EncodeToString(random[:])
	x.credential, x.identity = x.lookup(c.user, c.token, x.m)
	reply := "r=" + x.nonce + ",s=" + base64.StdEncoding.EncodeToString(x.credential.Salt) + ",i=" + strconv.Itoa(x.credential.Iterations)
	x.authMessage = c.bare + "," + reply + ","
	return []byte(reply), nil
}

func (x *scramExchange) final(message string) ([]byte, *Identity, error) {
	i := strings.LastIndex(message, ",p=")
	if i < 0 {
		return nil, nil, errScramForm
	}
	bare := message[:i]
	proof, err := base64.StdEncoding.Strict().DecodeString(message[i+3:])
	if err != nil {
		return nil, nil, errScramForm
	}
	fields := strings.Split(bare, ",")
	if len(fields) < 2 || !strings.HasPrefix(fields[0], "c=") || !strings.HasPrefix(fields[1], "r=") || !areExtensions(fields[2:]) {
		return nil, nil, errScramForm
	}
	// A header other than the first message's is an attempt to hide that somebody changed that.
	header, err := base64.StdEncoding.Strict().DecodeString(fields[0][2:])
	if err != nil || string(header) != x.gs2 {
		return nil, nil, errors.New("the channel binding is not that of the first message")
	}
	if subtle.ConstantTimeCompare([]byte(fields[1][2:]), []byte(x.nonce)) != 1 {
		return nil, nil, errors.New("the nonce is not the one that was given")
	}
	message = x.authMessage + bare
	signature := x.m.hmac(x.credential.StoredKey, []byte(message))
	if len(proof) != len(signature) {
		return nil, nil, errScramForm
	}
	clientKey := make([]byte, len(proof))
	subtle.XORBytes(clientKey, proof, signature)
	h := x.m.hash()()
	h.Write(clientKey)
	if subtle.ConstantTimeCompare(h.Sum(nil), x.credential.StoredKey) != 1 || x.identity == nil {
		return nil, nil, errors.New("wrong password, or no such user")
	}
	server := x.m.hmac(x.credential.ServerKey, []byte(message))
	return []byte("v=" + base64.StdEncoding.EncodeToString(server)), x.identity, nil
}

type clientFirst struct {
	gs2, bare            string
	authzid, user, nonce string
	token                bool
}

// parseClientFirst reads "n,a=authzid,n=user,r=nonce,extensions". A client that could bind to the channel says "y"; one that
// insists on it cannot be served.
func parseClientFirst(message string) (c clientFirst, err error) {
	flag, rest, ok1 := strings.Cut(message, ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok1 || !ok2 || flag != "n" && flag != "y" {
		return c, errScramForm
	}
	c.gs2, c.bare = flag+","+authzid+",", bare
	if authzid != "" {
		name, ok := strings.CutPrefix(authzid, "a=")
		if c.authzid, err = saslName(name); err != nil || !ok {
			return c, errScramForm
		}
	}
	fields := strings.Split(bare, ",")
	if len(fields) < 2 || !strings.HasPrefix(fields[0], "n=") || !strings.HasPrefix(fields[1], "r=") || !areExtensions(fields[2:]) {
		return c, errScramForm
	}
	if c.user, err = saslName(fields[0][2:]); err != nil || c.user == "" {
		return c, errScramForm
	}
	c.nonce = fields[1][2:]
	if c.nonce == "" || strings.ContainsFunc(c.nonce, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return c, errScramForm
	}
	for _, x := range fields[2:] {
		if name, value, _ := strings.Cut(x, "="); name == "tokenauth" {
			c.token = strings.EqualFold(value, "true")
		}
	}
	return c, nil
}

// areExtensions tells whether fields are of the form name=value with names of letters. "m" is for what a server must
// understand, and there is nothing of that kind.
func areExtensions(fields []string) bool {
	for _, f := range fields {
		name, value, ok := strings.Cut(f, "=")
		letters := !strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
		if !ok || name == "" || name == "m" || name == "p" || !letters || strings.ContainsRune(value, 0) {
			return false
		}
	}
	return true
}

// saslName undoes the escapes of a comma and an equals sign.
func saslName(s string) (string, error) {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "=")
		out.WriteString(before)
		switch {
		case !ok:
			if name := out.String(); !strings.ContainsRune(name, 0) {
				return name, nil
			}
			return "", errScramForm
		case strings.HasPrefix(rest, "2C"):
			out.WriteByte(',')
		case strings.HasPrefix(rest, "3D"):
			out.WriteByte('=')
		default:
			return "", errScramForm
		}
		s = rest[2:]
	}
}
