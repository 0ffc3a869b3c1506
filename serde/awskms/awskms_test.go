package awskms

import (
	"strings"
	"testing"

	"github.com/weir-stream/weir/serde"
)

func TestKeyIDMustBeAnARN(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {FromKey: true}} {
		if _, err := New(o).Wrap(t.Context(), serde.KeyRef{KEK: "k", ID: "alias/x"}, nil); err == nil || !strings.Contains(err.Error(), "ARN") {
			t.Errorf("wrap: %v", err)
		}
		if _, err := New(o).Unwrap(t.Context(), serde.KeyRef{KEK: "k", ID: "alias/x"}, nil); err == nil {
			t.Error("unwrapped")
		}
	}
}
