package state

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// longText is a schema of a common size: a record of ten fields.
func longText(i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"type":"record","name":"Order%d","namespace":"com.example.orders","fields":[`, i)
	for f := range 10 {
		if f > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"field_%d","type":["null","string"],"default":null}`, f)
	}
	b.WriteString("]}")
	return b.String()
}

func TestTextsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", `"int"`, longText(7), strings.Repeat("x", 70), strings.Repeat("\xff\x00é", 1000), strings.Repeat(longText(1), 200)} {
		plain := TextOf(text)
		packed := plain.pack()
		if got := packed.String(); got != text || !packed.Equal(plain) || !plain.Equal(packed) || packed.Equal(TextOf(text+" ")) {
			t.Errorf("%d bytes: got %d", len(text), len(got))
		}
		if again := packed.pack(); again.plain != packed.plain || !bytes.Equal(again.packed, packed.packed) {
			t.Error("a packed text is packed again")
		}
	}
	if p := TextOf(longText(7)).pack(); p.packed == nil || len(p.packed) > 300 {
		t.Errorf("a common schema of %d bytes takes %d", len(longText(7)), len(p.packed))
	}
}

func TestContentsOfTwoFormatsKeepApart(t *testing.T) {
	t.Parallel()
	s, text := New(), longText(1)
	put := func(subject, kind string, id int) {
		t.Helper()
		if err := s.Apply(PutVersion(&Version{Subject: subject, Version: 1, ID: id, Content: &Content{Type: typeOf("AVRO"), Text: TextOf(text)}}), 0); kind == "" && err != nil {
			t.Fatal(err)
		}
		if kind == "" {
			return
		}
		if err := s.Apply(PutVersion(&Version{Subject: subject, Version: 1, ID: id, Content: &Content{Type: "JSON", Text: TextOf(text)}}), 0); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "", 1)
	put("b", "", 1)
	put("c", "JSON", 2)
	if a, b, c := s.Get("a", 1, All), s.Get("b", 1, All), s.Get("c", 1, All); a.Content != b.Content || a.Content == c.Content || c.Type != "JSON" {
		t.Errorf("contents %p %p %p", a.Content, b.Content, c.Content)
	}
	for _, subject := range []string{"a", "c", "b"} {
		if err := s.Apply(RemoveVersion(subject, 1), 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.contents) != 0 {
		t.Errorf("%d contents are kept that nobody has", len(s.contents))
	}
}

// BenchmarkLoad reads the records of many subjects, and reports what they take in memory.
func BenchmarkLoad(b *testing.B) {
	const schemas = 50_000
	records := make([]Record, schemas)
	for i := range records {
		records[i] = PutVersion(&Version{Subject: fmt.Sprintf("topic-%d-value", i), Version: 1, ID: i + 1, Content: &Content{Type: "AVRO", Text: TextOf(longText(i))}})
	}
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := New()
		for _, r := range records {
			if err := s.Apply(r, 0); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/schemas, "B/schema")
		if s.Get("topic-7-value", 1, Live) == nil {
			b.Fatal("nothing was read")
		}
		b.StartTimer()
	}
}

// BenchmarkText is what a lookup pays for texts that are packed.
func BenchmarkText(b *testing.B) {
	t := TextOf(longText(7)).pack()
	b.ReportAllocs()
	for b.Loop() {
		if t.String() == "" {
			b.Fatal("empty")
		}
	}
}
