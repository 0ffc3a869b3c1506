// Package secret holds text that must not be seen: passwords, keys, tokens.
//
// A Text prints, logs and encodes as "[hidden]", whatever verb or encoder is used, and also where it lies in an unexported
// field of something that is printed: it keeps its text behind a pointer, which package fmt does not follow there. The one
// way to the text is Reveal, which is easy to look for in a review. Equal compares in constant time.
//
// The package promises nothing about memory: Go may have copied the text before it came here.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Hidden is what is shown in the place of a secret.
const Hidden = "[hidden]"

// Text is a secret. The zero value is the empty text. It must not be compared with ==.
type Text struct {
	_    [0]func() // no ==
	text *string
}

// New returns a secret.
func New(text string) Text { return Text{text: &text} }

// Reveal is the text itself.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// IsEmpty tells whether there is no text.
func (t Text) IsEmpty() bool { return t.Reveal() == "" }

// Equal compares without telling by its time where the texts differ, or how long they are.
func (t Text) Equal(other Text) bool {
	a, b := sha256.Sum256([]byte(t.Reveal())), sha256.Sum256([]byte(other.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String hides the text.
func (Text) String() string { return Hidden }

// GoString hides the text.
func (Text) GoString() string { return Hidden }

// Format hides the text from every verb.
func (Text) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte(Hidden)) // fmt keeps the error
}

// LogValue hides the text.
func (Text) LogValue() slog.Value { return slog.StringValue(Hidden) }

// MarshalText hides the text. It also serves encoding/json.
func (Text) MarshalText() ([]byte, error) { return []byte(Hidden), nil }
