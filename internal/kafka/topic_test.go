package kafka

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
)

func TestValidateTopicName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "A.b_c-9", "...", "__consumer_offsets", strings.Repeat("x", 249)} {
		if err := ValidateTopicName(name); err != nil {
			t.Errorf("%q refused: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a b", "a/b", "ä", "a\x00", "a,b", strings.Repeat("x", 250)} {
		if err := ValidateTopicName(name); !errors.Is(err, InvalidTopicException) {
			t.Errorf("%q: got %v, want InvalidTopicException", name, err)
		}
	}
}

func TestTopicIDTextRoundTrips(t *testing.T) {
	t.Parallel()
	for range 1000 {
		id, err := NewTopicID(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		text := id.String()
		if len(text) != 22 || text[0] == '-' || id.IsZero() {
			t.Fatalf("bad id %q", text)
		}
		if back, err := ParseTopicID(text); err != nil || back != id {
			t.Fatalf("parse %q: got %v, %v", text, back, err)
		}
	}
	if got, want := (TopicID{}).String(), "AAAAAAAAAAAAAAAAAAAAAA"; got != want {
		t.Errorf("zero id is %q, want %q", got, want)
	}
	for _, bad := range []string{"", "AAAA", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAAAAAAAAB"} {
		if _, err := ParseTopicID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if _, err := NewTopicID(bytes.NewReader(make([]byte, 3))); err == nil {
		t.Error("a short source of randomness was accepted")
	}
}

func TestTopicPartitionOrder(t *testing.T) {
	t.Parallel()
	a, b, c := TopicPartition{"a", 9}, TopicPartition{"b", 1}, TopicPartition{"b", 2}
	if a.Compare(b) >= 0 || b.Compare(c) >= 0 || c.Compare(a) <= 0 || b.Compare(b) != 0 {
		t.Error("order is not topic, then partition")
	}
	if got := c.String(); got != "b-2" {
		t.Errorf("got %s", got)
	}
	if !IsInternalTopic(GroupMetadataTopic) || IsInternalTopic("orders") {
		t.Error("internal topics are not told from others")
	}
}
