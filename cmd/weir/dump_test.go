package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// dataDir returns a data directory in which a server was, that did what lines say, and then stopped.
func dataDir(t *testing.T, lines ...string) string {
	t.Helper()
	return dataDirAfter(t, func(string) {}, lines...)
}

// dataDirAfter is dataDir where something else was done first, at the server's address.
func dataDirAfter(t *testing.T, first func(address string), lines ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	schema, err := app.Schema()
	if err != nil {
		t.Fatal(err)
	}
	values, err := schema.Load(config.Sources{Set: []string{"data=" + dir, "kafka.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0", "storage.wal.file.bytes=4194304", "storage.shards=1"}})
	if err != nil {
		t.Fatal(err)
	}
	a := app.New(app.Options{Values: values, Version: "test"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- a.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	first(a.Addresses()["kafka"])
	for _, line := range lines {
		in, line, _ := strings.Cut(line, "|")
		s, _, errOut := testSession(in)
		s.env = func(name string) string { return map[string]string{"WEIR_BOOTSTRAP": a.Addresses()["kafka"]}[name] }
		if code := run(t.Context(), s, words(t, line)); code != exitDone {
			t.Fatalf("weir %s: exit code %d, %s", line, code, errOut)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return dir
}

// dumped runs a dump and decodes its lines.
func dumped[T any](t *testing.T, line string) []T {
	t.Helper()
	s, out, errOut := testSession("")
	if code := run(t.Context(), s, words(t, "dump "+line)); code != exitDone {
		t.Fatalf("weir dump %s: exit code %d, %s", line, code, errOut)
	}
	return decodedLines[T](t, out.String())
}

// decodedLines decodes NDJSON.
func decodedLines[T any](t *testing.T, text string) (rows []T) {
	t.Helper()
	for l := range strings.Lines(text) {
		var row T
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		rows = append(rows, row)
	}
	return rows
}

type recordRow struct {
	Topic     string
	Partition int32
	Offset    int64
	Value     string
}

// addSegment puts an object with one batch into the directory.
func addSegment(t *testing.T, dir, topicID string) {
	t.Helper()
	id, err := kafka.ParseTopicID(topicID)
	if err != nil {
		t.Fatal(err)
	}
	store, err := blob.NewDir(vfs.OS(), filepath.Join(dir, "segments"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := store.Create(t.Context(), "l/00000/00000000.0000000000000009")
	if err != nil {
		t.Fatal(err)
	}
	sw := segment.NewWriter(w, segment.Options{Level: segment.L1, CreatedAt: time.UnixMilli(1)})
	if err := sw.BeginRun(id, 0); err != nil {
		t.Fatal(err)
	}
	b := record.NewBuilder(record.LZ4, 0)
	b.Append(7, nil, []byte("from a segment"), nil)
	if err := sw.AppendBatch(b.Build(record.BuildOptions{})); err != nil {
		t.Fatal(err)
	}
	if _, err := sw.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDumpShowsWhatAServerLeft(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "|topic create orders gone --partitions 2", "a\nb\nc\n|topic produce orders -p 0 -z zstd", "d\n|topic produce orders -p 1",
		"x\n|topic produce gone -p 0", "|topic trim orders -p 1 --to 1 --yes", "|topic delete gone --yes")

	var id string
	kinds := map[string]int{}
	for _, row := range dumped[metaRow](t, "meta "+dir) {
		kinds[row.Kind]++
		if row.Problem != "" {
			t.Errorf("%s: %s", row.Key, row.Problem)
		}
		if v, ok := row.Value.(map[string]any); ok && row.Key == "t/orders" {
			id, _ = v["id"].(string)
		}
	}
	for kind, n := range map[string]int{"topic": 1, "cluster id": 1, "shards": 1, "shard": 1, "incarnation": 1, "incarnations": 1, "producer ids": 1} {
		if kinds[kind] != n {
			t.Errorf("%d keys of kind %q, want %d: %v", kinds[kind], kind, n, kinds)
		}
	}
	addSegment(t, dir, id)

	var runs, controls int
	for _, f := range dumped[frameRow](t, "wal --partition orders "+dir) {
		runs, controls = runs+len(f.Runs), controls+len(f.Controls)
		for _, r := range f.Runs {
			if r.Topic != "orders" || len(r.Batches) == 0 {
				t.Errorf("run %+v passed the filter or lacks its batches", r)
			}
		}
	}
	if runs < 2 || controls != 1 {
		t.Errorf("%d runs and %d controls, want 2 or more and 1", runs, controls)
	}
	var values string
	for _, r := range dumped[recordRow](t, "wal --records --partition orders/0 "+dir) {
		values += r.Value
	}
	if values != "abc" {
		t.Errorf("records in the log are %q, want abc", values)
	}
	if got := dumped[recordRow](t, "segment --records "+dir); len(got) != 1 || got[0] != (recordRow{"orders", 0, 0, "from a segment"}) {
		t.Errorf("records in segments: %+v", got)
	}
	if got := dumped[segmentRow](t, "segment --partition "+id+"/0 "+dir); len(got) != 1 || len(got[0].Runs) != 1 || got[0].Runs[0].Batches[0].Codec != "lz4" {
		t.Errorf("segments: %+v", got)
	}
	live := 0
	for _, m := range dumped[manifestRow](t, "manifest "+dir) {
		if m.Live {
			live++
		}
	}
	if live != 1 {
		t.Errorf("%d live manifests, want 1", live)
	}
	got := slices.DeleteFunc(dumped[partitionRow](t, "checkpoint --partition orders/0 "+dir), func(p partitionRow) bool { return !p.Live })
	if len(got) != 1 || got[0].NextOffset != 3 {
		t.Errorf("live checkpoints: %+v", got)
	}
}

func TestDumpFormsAreComplete(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "|topic create t", "a\n|topic produce t")
	for _, kind := range []string{"wal", "segment", "manifest", "checkpoint", "meta"} {
		for _, form := range outputFormats {
			for _, flags := range []string{"", " --verify"} {
				s, out, errOut := testSession("")
				if code := run(t.Context(), s, words(t, "dump "+kind+" -o "+form+flags+" "+dir)); code != exitDone || out.Len() == 0 && kind != "segment" {
					t.Errorf("dump %s -o %s%s: exit code %d, %q, %s", kind, form, flags, code, out, errOut)
				}
			}
		}
	}
}

func TestDumpFindsDamageAndGoesOn(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "|topic create t", "a\n|topic produce t", "b\n|topic produce t", "c\n|topic produce t")
	var frame frameRow
	for _, f := range dumped[frameRow](t, "wal --partition t "+dir) {
		if len(f.Runs) == 1 && f.Runs[0].BaseOffset == 1 {
			frame = f
		}
	}
	var checkpoint string
	for _, p := range dumped[partitionRow](t, "checkpoint "+dir) {
		checkpoint = p.Checkpoint
	}
	spoil(t, frame.File, frame.Offset+200)
	spoil(t, filepath.Join(dir, "segments", filepath.FromSlash(checkpoint)), 30)

	for _, c := range []struct{ line, file string }{{"wal --verify ", filepath.Base(frame.File)}, {"checkpoint --verify ", checkpoint}} {
		s, _, errOut := testSession("")
		if code := run(t.Context(), s, words(t, "dump "+c.line+dir)); code != exitFailed || !strings.Contains(errOut.String(), c.file) || strings.Count(errOut.String(), "damaged:") != 1 {
			t.Errorf("%s: exit code %d, %s", c.line, code, errOut)
		}
	}
	var values string
	for _, r := range dumped[recordRow](t, "wal --records "+dir) {
		values += r.Value
	}
	if values != "ac" {
		t.Errorf("records beside the damage: %q, want ac", values)
	}
}

func TestDumpReadsTheLogWithoutMetadata(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "|topic create t", "a\n|topic produce t")
	if err := os.RemoveAll(filepath.Join(dir, "meta")); err != nil {
		t.Fatal(err)
	}
	if got := dumped[recordRow](t, "wal --records "+dir); len(got) != 1 || got[0].Value != "a" {
		t.Errorf("got %+v", got)
	}
	s, _, errOut := testSession("")
	if code := run(t.Context(), s, []string{"dump", "wal", t.TempDir()}); code != exitFailed || !strings.Contains(errOut.String(), "no data directory") {
		t.Errorf("an empty folder: exit code %d, %s", code, errOut)
	}
}

func TestDumpChangesNothing(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "|topic create t", "a\n|topic produce t")
	before := tree(t, dir)
	for _, kind := range []string{"wal", "segment", "manifest", "checkpoint", "meta"} {
		dumped[any](t, kind+" --verify "+dir)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// tree lists every file below dir with its size and time of change.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			b.WriteString(path + " " + info.ModTime().String() + " " + info.Mode().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// spoil flips a bit of a file.
func spoil(t *testing.T, file string, off int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// TestTheMetadataIsShownWithoutSecrets looks at settings of a broker that clients have set: of those that are secret only the
// names are shown.
func TestTheMetadataIsShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	const canary = "canary-in-a-setting"
	dir := dataDirAfter(t, func(address string) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(address))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		for _, name := range []string{"listener.name.plaintext.plain.sasl.jaas.config", "listener.name.plaintext.ssl.key.password", "listener.name.other.password", "log.retention.ms"} {
			value := canary
			if name == "log.retention.ms" {
				value = "12345678"
			}
			if got, err := kadm.NewClient(cl).AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, 1); err != nil || got[0].Err != nil {
				t.Errorf("alter %s: %v, %+v", name, err, got)
			}
		}
	}, canary+"|user create alice")
	for _, format := range []string{"json", "ndjson", "table", "yaml"} {
		s, out, errOut := testSession("")
		if code := run(t.Context(), s, []string{"dump", "meta", dir, "-o", format}); code != exitDone {
			t.Fatalf("exit code %d, %s", code, errOut)
		}
		if text := out.String() + errOut.String(); strings.Contains(text, canary) || !strings.Contains(text, "[hidden]") || !strings.Contains(text, "12345678") || !strings.Contains(text, "jaas") {
			t.Errorf("%s: %s", format, text)
		}
	}
}
