package wireformat

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

const guidText = "0c5a2d1e-77f0-4b7e-9d5e-0123456789ab"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseTakesEveryFormApart(t *testing.T) {
	t.Parallel()
	guid, err := ParseGUID(guidText)
	if err != nil {
		t.Fatal(err)
	}
	guidHex := strings.ReplaceAll(guidText, "-", "")
	for _, c := range []struct {
		name, header, data string
		want               ID
		payload            string
		at                 []int
		message            string // payload of a Protobuf schema
	}{
		{"a number in front", "", "00 00000007 00 0a01", ID{Number: 7}, "00 0a01", nil, "0a01"},
		{"the largest number", "", "00 7fffffff 00", ID{Number: 1<<31 - 1}, "00", nil, ""},
		{"an empty payload", "", "00 00000007", ID{Number: 7}, "", nil, "-"},
		{"nested indexes", "", "00 00000007 06 02 00 80 01 0a", ID{Number: 7}, "06 02 00 80 01 0a", []int{1, 0, 64}, "0a"},
		{"one index", "", "00 00000007 02 04 0a", ID{Number: 7}, "02 04 0a", []int{2}, "0a"},
		{"the long form of the first", "", "00 00000007 02 00 0a", ID{Number: 7}, "02 00 0a", nil, "0a"},
		{"a GUID in front", "", "01" + guidHex + "00 0a", ID{GUID: guid}, "00 0a", nil, "0a"},
		{"a GUID in the header", "01" + guidHex, "00 0000000a", ID{GUID: guid}, "00 0000000a", nil, "-"},
		{"a GUID and indexes in the header", "01" + guidHex + "02 02", "0a0b", ID{GUID: guid}, "0a0b", []int{1}, "0a0b"},
		{"a number in the header", "00 00000009 00", "0a0b", ID{Number: 9}, "0a0b", nil, "0a0b"},
	} {
		var header []byte
		if c.header != "" {
			header = unhex(t, c.header)
		}
		f, err := Parse(header, unhex(t, c.data))
		if err != nil || f.ID != c.want || !bytes.Equal(f.Payload, unhex(t, c.payload)) {
			t.Errorf("%s: got %v %x %v, want %v %s", c.name, f.ID, f.Payload, err, c.want, c.payload)
			continue
		}
		at, payload, err := f.Message()
		if c.message == "-" {
			if !errors.Is(err, ErrIndexes) {
				t.Errorf("%s: indexes %v %v, want an error", c.name, at, err)
			}
			continue
		}
		if err != nil || !slices.Equal(at, c.at) || (at == nil) != (c.at == nil) || !bytes.Equal(payload, unhex(t, c.message)) {
			t.Errorf("%s: message %v %x %v, want %v %s", c.name, at, payload, err, c.at, c.message)
		}
	}
}

func TestParseRefusesWhatIsNotFramed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, data, want string }{
		{"", "", "no bytes"},
		{"", "7b7d", "begin with 0x7b"},
		{"", "00 000000", "4 bytes are too few"},
		{"", "00 80000000 00", "out of range"},
		{"", "01 00112233445566778899aabbccddee", "too few"},
		{"", "01" + strings.Repeat("00", 16), "GUID is zero"},
		{"05", "00 00000007", "header"},
	} {
		var header []byte
		if c.header != "" {
			header = unhex(t, c.header)
		}
		_, err := Parse(header, unhex(t, c.data))
		if !errors.Is(err, ErrNotFramed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: got %v, want %q", c.header, c.data, err, c.want)
		}
	}
}

func TestReadIndexesRefusesTheImpossible(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "80", "02", "01", "fe ff ff ff ff ff ff ff ff 01 00", "ff ff ff ff ff ff ff ff ff ff 01", "04 02", "02 01", "02 fe ff ff ff ff 01",
		"92 03" + strings.Repeat("00", 300),
	} {
		if at, rest, err := ReadIndexes(unhex(t, in)); !errors.Is(err, ErrIndexes) {
			t.Errorf("%s: got %v %x %v, want an error", in, at, rest, err)
		}
	}
}

func TestGUIDText(t *testing.T) {
	t.Parallel()
	g, err := ParseGUID(strings.ToUpper(guidText))
	if err != nil || g.String() != guidText {
		t.Fatalf("got %s %v, want %s", g, err, guidText)
	}
	for _, bad := range []string{"", guidText[1:], strings.ReplaceAll(guidText, "-", "x"), strings.Replace(guidText, "0", "g", 1)} {
		if _, err := ParseGUID(bad); err == nil {
			t.Errorf("%q was taken for a GUID", bad)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	value := unhex(t, "00 00000007 00 0a01")
	if n := testing.AllocsPerRun(100, func() {
		f, err := Parse(nil, value)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = f.Message(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(nil), []byte("\x00\x00\x00\x00\x07\x00abc"))
	f.Add([]byte("\x01abcdefghijklmnop\x02\x02"), []byte("abc"))
	f.Add([]byte(nil), []byte("\x00\x00\x00\x00\x07\x06\x02\x00\x80\x01"))
	f.Fuzz(func(t *testing.T, header, data []byte) {
		if len(header) == 0 {
			header = nil
		}
		frame, err := Parse(header, data)
		if err != nil {
			return
		}
		again, err := Parse(nil, append(Append(nil, frame.ID), frame.Payload...))
		if err != nil || again.ID != frame.ID || !bytes.Equal(again.Payload, frame.Payload) {
			t.Fatalf("written again: got %v %x %v, want %v %x", again.ID, again.Payload, err, frame.ID, frame.Payload)
		}
		at, payload, err := frame.Message()
		if err != nil {
			return
		}
		at2, payload2, err := ReadIndexes(append(AppendIndexes(nil, at), payload...))
		if err != nil || !slices.Equal(at, at2) || !bytes.Equal(payload, payload2) {
			t.Fatalf("indexes written again: got %v %x %v, want %v %x", at2, payload2, err, at, payload)
		}
	})
}
