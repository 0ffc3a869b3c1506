package kafka

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// franz-go differs from Kafka's own table in these codes: an old name, and retriability as the Java client of 4.3
// reports it. Kafka's own is what clients were written against.
var kerrDiffers = map[Error]bool{
	NotLeaderOrFollower: true, BrokerNotAvailable: true, ConcurrentTransactions: true,
	ShareSessionNotFound: true, InvalidShareSessionEpoch: true,
}

func TestErrorTableAgreesWithFranz(t *testing.T) {
	t.Parallel()
	for code := Error(-1); int(code) < NumErrors; code++ {
		if code == None {
			continue
		}
		want := kerr.TypedErrorForCode(code.Code())
		if want.Code != code.Code() {
			t.Errorf("code %d: franz-go does not know it", code)
			continue
		}
		same := code.Name() == want.Message && code.Retriable() == want.Retriable
		if same == kerrDiffers[code] {
			t.Errorf("code %d: got %s retriable=%t, franz-go has %s retriable=%t", code, code.Name(), code.Retriable(), want.Message, want.Retriable)
		}
	}
	if got := kerr.TypedErrorForCode(int16(NumErrors)); got.Code == int16(NumErrors) {
		t.Errorf("franz-go knows %s, which is not in the table", got.Message)
	}
}

func TestEveryErrorHasNameAndSentence(t *testing.T) {
	t.Parallel()
	seen := map[string]Error{}
	for code := Error(-1); int(code) < NumErrors; code++ {
		if code.Name() == "" || !strings.HasSuffix(code.Message(), ".") {
			t.Errorf("code %d: name %q, message %q", code, code.Name(), code.Message())
		}
		if other, dup := seen[code.Name()]; dup {
			t.Errorf("codes %d and %d share the name %s", other, code, code.Name())
		}
		seen[code.Name()] = code
	}
}

func TestUnknownCodesStillPrint(t *testing.T) {
	t.Parallel()
	for _, code := range []Error{-2, Error(NumErrors), 32767, -32768} {
		if got, want := code.Name(), fmt.Sprintf("UNKNOWN_CODE_%d", code); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if code.Retriable() {
			t.Errorf("code %d must not be retriable", code)
		}
	}
}

func TestCodeOfFindsTheCodeInAChain(t *testing.T) {
	t.Parallel()
	wrapped := fmt.Errorf("append to a-0: %w", Errorf(MessageTooLarge, "batch of %d bytes", 7))
	for _, c := range []struct {
		err  error
		code Error
	}{
		{nil, None},
		{None.Err(), None},
		{OffsetOutOfRange, OffsetOutOfRange},
		{fmt.Errorf("read: %w", StorageError), StorageError},
		{wrapped, MessageTooLarge},
		{io.EOF, UnknownServerError},
	} {
		if got := CodeOf(c.err); got != c.code {
			t.Errorf("CodeOf(%v) = %s, want %s", c.err, got.Name(), c.code.Name())
		}
	}
	if !errors.Is(wrapped, MessageTooLarge) {
		t.Errorf("errors.Is does not see the code in %v", wrapped)
	}
	if got, want := wrapped.Error(), "append to a-0: MESSAGE_TOO_LARGE: batch of 7 bytes"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
