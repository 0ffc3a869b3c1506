package app_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/base/seal"
)

// canaries stand in a record, a record of a segment, and a setting.
const (
	canaryRecord  = "canary-in-a-record-value"
	canarySetting = "1234567890123"
)

func keyFile(t *testing.T, b string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(strings.Repeat(b, 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file:" + path
}

// findInFiles returns the files below dir that hold text.
func findInFiles(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// fill writes records until some have moved into segments, and a setting.
func fill(t *testing.T, s *server, records int) {
	t.Helper()
	cl := s.client(t, kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"retention.ms": new(canarySetting)}, "t"); err != nil && !strings.Contains(err.Error(), "EXISTS") {
		t.Fatal(err)
	}
	value := []byte(canaryRecord + strings.Repeat("x", 10_000))
	for range records {
		cl.Produce(t.Context(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(s.alive); err != nil {
		t.Fatal(err)
	}
}

// readAll counts the records of the topic that hold the canary.
func readAll(t *testing.T, s *server, want int) {
	t.Helper()
	cl := s.client(t, kgo.ConsumeTopics("t"))
	for got := 0; got < want; {
		fetches := cl.PollFetches(s.alive)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !strings.HasPrefix(string(r.Value), canaryRecord) {
				t.Fatalf("record %d is %.40q", r.Offset, r.Value)
			}
			got++
		})
	}
}

func TestAStolenDataDirectoryTellsNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first, second := keyFile(t, "a"), keyFile(t, "b")
	small := []string{"storage.wal.keep.bytes=8388608", "storage.checkpoint.interval.ms=100"}
	with := func(key string, more ...string) []string {
		return append(append([]string{"encryption.key=" + key}, small...), more...)
	}
	const records = 3000
	s := mustStart(t, dir, with(first)...)
	fill(t, s, records)
	readAll(t, s, records)
	s.end(t)
	if objects, err := filepath.Glob(filepath.Join(dir, "segments", "*", "*")); err != nil || len(objects) == 0 {
		t.Fatalf("nothing was moved into segments: %v", err)
	}
	for _, canary := range []string{canaryRecord, canarySetting, strings.Repeat("x", 64)} {
		if found := findInFiles(t, dir, canary); len(found) > 0 {
			t.Errorf("%.30q stands in %q", canary, found)
		}
	}
	if _, err := start(t, dir, small...); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("start without a key: %v, want ErrNoKey", err)
	}
	if _, err := start(t, dir, with(second)...); !errors.Is(err, seal.ErrKey) {
		t.Errorf("start with another key: %v, want ErrKey", err)
	}
	// The key is changed over, and the old one is of no more use.
	s = mustStart(t, dir, with(second, "encryption.key.previous="+first)...)
	fill(t, s, records)
	readAll(t, s, 2*records)
	s.end(t)
	if _, err := start(t, dir, with(first)...); !errors.Is(err, seal.ErrKey) {
		t.Errorf("start with the old key: %v, want ErrKey", err)
	}
	s = mustStart(t, dir, with(second)...)
	readAll(t, s, 2*records)
	s.end(t)
	if found := findInFiles(t, dir, canaryRecord); len(found) > 0 {
		t.Errorf("after the change of keys %q stands in %q", canaryRecord, found)
	}
}

func TestEncryptionCanBeSwitchedOnLater(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	small := []string{"storage.wal.keep.bytes=8388608", "storage.checkpoint.interval.ms=100"}
	s := mustStart(t, dir, small...)
	fill(t, s, 2000)
	s.end(t)
	if found := findInFiles(t, dir, canaryRecord); len(found) == 0 {
		t.Fatal("the search for canaries finds nothing where it should")
	}
	key := "encryption.key=" + keyFile(t, "c")
	for range 2 {
		s = mustStart(t, dir, append(small, key)...)
		readAll(t, s, 2000)
		fill(t, s, 10)
		s.end(t)
	}
}
