package recordformat

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func sample() (*kgo.FetchPartition, *kgo.Record) {
	return &kgo.FetchPartition{Partition: 3, HighWatermark: 100, LogStartOffset: 7, LastStableOffset: 99},
		&kgo.Record{
			Topic: "orders", Partition: 3, Offset: 42, LeaderEpoch: 5, Timestamp: time.UnixMilli(1772625600123).UTC(),
			Key: []byte("k1"), Value: []byte(`{"a":1}`),
			Headers: []kgo.RecordHeader{{Key: "h1", Value: []byte("x")}, {Key: "h2", Value: []byte("y")}},
		}
}

func TestWriterPrintsEveryVerb(t *testing.T) {
	t.Parallel()
	p, r := sample()
	for layout, want := range map[string]string{
		`%k %v %o %p %t %h %T \n`:        "k1 {\"a\":1} 42 3 orders h1=x,h2=y 1772625600123 \n",
		`%t[%p]@%o: %s\n`:                "orders[3]@42: {\"a\":1}\n",
		`%K %V %S`:                       "2 7 7",
		`%R%s`:                           "\x00\x00\x00\x07{\"a\":1}",
		`%V{big32}%v`:                    "\x00\x00\x00\x07{\"a\":1}",
		`%k{hex} %v{base64}`:             "6b31 eyJhIjoxfQ==",
		`%d %d{strftime[%F %T]}`:         "1772625600123 2026-03-04 12:00:00",
		`%d{go[2006-01-02T15:04:05Z]}`:   "2026-03-04T12:00:00Z",
		`%H %h{%k:%v;}`:                  "2 h1:x;h2:y;",
		`%[ %| %] %e`:                    "7 99 100 5",
		`%i %%%{%}\t\x41`:                "1 %{}\tA",
		`%a{compression} %h{%k{hex} }%s`: "none 6831 6832 {\"a\":1}",
	} {
		w, err := NewWriter(layout)
		if err != nil {
			t.Errorf("NewWriter(%q): %v", layout, err)
			continue
		}
		if got := string(w.Append(nil, p, r)); got != want {
			t.Errorf("layout %q: got %q, want %q", layout, got, want)
		}
	}
}

func TestWriterTellsNullFromEmpty(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(`%S %R`)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(w.Append(nil, &kgo.FetchPartition{}, &kgo.Record{})); got != "-1 \xff\xff\xff\xff" {
		t.Errorf("null value: %q", got)
	}
	if got := string(w.Append(nil, &kgo.FetchPartition{}, &kgo.Record{Value: []byte{}})); got != "0 \x00\x00\x00\x00" {
		t.Errorf("empty value: %q", got)
	}
}

func TestWriterRefusesBrokenLayouts(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"", "hello", `%`, `%q`, `%v{nope}`, `%v{hex`, `{%v}`, `\q%v`, `%v\`} {
		if _, err := NewWriter(layout); err == nil {
			t.Errorf("NewWriter(%q) is accepted", layout)
		}
	}
}

func readAll(t *testing.T, r Reader) []*kgo.Record {
	t.Helper()
	var all []*kgo.Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
}

func TestLineReaderKeepsEveryLine(t *testing.T) {
	t.Parallel()
	recs := readAll(t, NewLineReader(strings.NewReader("a\n\nb\r\nlast"), "", 100))
	var got []string
	for _, r := range recs {
		if r.Value == nil {
			t.Error("an empty line became null")
		}
		got = append(got, string(r.Value))
	}
	if s := strings.Join(got, "|"); s != "a||b|last" {
		t.Errorf("got %q", s)
	}
}

func TestLineReaderDividesAtTheFirstSeparator(t *testing.T) {
	t.Parallel()
	recs := readAll(t, NewLineReader(strings.NewReader("k::v::w\n"), "::", 100))
	if len(recs) != 1 || string(recs[0].Key) != "k" || string(recs[0].Value) != "v::w" {
		t.Errorf("got %+v", recs)
	}
	if _, err := NewLineReader(strings.NewReader("a:b\nnone\n"), "=", 100).Next(); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("error is %v", err)
	}
}

func TestLineReaderBoundsALine(t *testing.T) {
	t.Parallel()
	if _, err := NewLineReader(strings.NewReader(strings.Repeat("x", 200<<10)), "", 1000).Next(); err == nil {
		t.Error("a line above the limit is accepted")
	}
}

func TestReaderReadsLayouts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ layout, in, key, value string }{
		{`%v\n`, "hello\n", "", "hello"},
		{`%k:%s\n`, "a:b\n", "a", "b"},
		{`%V{big32}%v`, "\x00\x00\x00\x03abc", "", "abc"},
		{`%R%s`, "\x00\x00\x00\x03abc", "", "abc"},
		{`%k{hex} %v{base64}\n`, "6b31 eHl6\n", "k1", "xyz"},
		{`%v{json}\n`, "{\"a\": 1}\n", "", `{"a":1}`},
	} {
		r, err := NewReader(strings.NewReader(c.in), c.layout)
		if err != nil {
			t.Errorf("NewReader(%q): %v", c.layout, err)
			continue
		}
		rec, err := r.Next()
		if err != nil || string(rec.Key) != c.key || string(rec.Value) != c.value {
			t.Errorf("layout %q: got %+v, %v", c.layout, rec, err)
		}
	}
	for _, layout := range []string{"", "abc", `%h`, `%v{nope}`} {
		if _, err := NewReader(strings.NewReader(""), layout); err == nil {
			t.Errorf("NewReader(%q) is accepted", layout)
		}
	}
}

func TestEnvelopeLosesNothing(t *testing.T) {
	t.Parallel()
	_, plain := sample()
	binary := &kgo.Record{
		Topic: "t", Timestamp: time.UnixMilli(5), Key: []byte{0xff, 0}, Value: []byte{},
		Headers: []kgo.RecordHeader{{Key: "b", Value: []byte{0xfe}}, {Key: "n"}},
	}
	tombstone := &kgo.Record{Topic: "t", Timestamp: time.UnixMilli(6), Key: []byte("<k>")}
	var text []byte
	for _, r := range []*kgo.Record{plain, binary, tombstone} {
		var err error
		if text, err = AppendEnvelope(text, r, Typed{}, ""); err != nil {
			t.Fatal(err)
		}
		text = append(text, '\n')
	}
	want := `{"topic":"orders","partition":3,"offset":42,"timestamp":1772625600123,"key":"k1","value":"{\"a\":1}","headers":[{"key":"h1","value":"x"},{"key":"h2","value":"y"}]}
{"topic":"t","partition":0,"offset":0,"timestamp":5,"key":null,"key_base64":"/wA=","value":"","headers":[{"key":"b","value":null,"value_base64":"/g=="},{"key":"n","value":null}]}
{"topic":"t","partition":0,"offset":0,"timestamp":6,"key":"<k>","value":null}
`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	back := readAll(t, NewEnvelopeReader(bytes.NewReader(text), 1<<20))
	if len(back) != 3 || !bytes.Equal(back[1].Key, binary.Key) || back[1].Value == nil || back[2].Value != nil ||
		!bytes.Equal(back[1].Headers[0].Value, []byte{0xfe}) || back[0].Timestamp.UnixMilli() != plain.Timestamp.UnixMilli() {
		t.Errorf("read back %+v", back)
	}
}

func TestEnvelopesCarryWhatASchemaDecoded(t *testing.T) {
	t.Parallel()
	r := &kgo.Record{Topic: "t", Timestamp: time.UnixMilli(5), Key: []byte("\"k\""), Value: []byte(`{"a":"<9007199254740993>","n":9007199254740993}`)}
	typed := Typed{Key: &SchemaRef{ID: "0c5a2d1e-77f0-4b7e-9d5e-0123456789ab"}, Value: &SchemaRef{ID: "7", Message: []int{1, 0}}}
	text, err := AppendEnvelope(nil, r, typed, "")
	want := `{"topic":"t","partition":0,"offset":0,"timestamp":5,"key":"k","key_schema_id":"0c5a2d1e-77f0-4b7e-9d5e-0123456789ab",` +
		`"value":{"a":"<9007199254740993>","n":9007199254740993},"value_schema_id":7,"value_message":[1,0]}`
	if err != nil || string(text) != want {
		t.Errorf("got\n%s %v\nwant\n%s", text, err, want)
	}
	reader := NewEnvelopeReader(bytes.NewReader(text), 1<<20)
	back := readAll(t, reader)
	if len(back) != 1 || string(back[0].Key) != `"k"` || string(back[0].Value) != string(r.Value) {
		t.Errorf("read back %+v", back)
	}
	if got := reader.(*envelopeReader).Typed(); !reflect.DeepEqual(got, typed) {
		t.Errorf("read back by %+v, want %+v", got, typed)
	}
}

func TestEnvelopesCarryJSONWithoutASchema(t *testing.T) {
	t.Parallel()
	r := &kgo.Record{Topic: "t", Timestamp: time.UnixMilli(5), Key: []byte(`{"type":"0"}`)}
	text, err := AppendEnvelope(nil, r, Typed{Key: &SchemaRef{}, Value: &SchemaRef{}}, "")
	if want := `{"topic":"t","partition":0,"offset":0,"timestamp":5,"key":{"type":"0"},"value":null}`; err != nil || string(text) != want {
		t.Errorf("got\n%s %v\nwant\n%s", text, err, want)
	}
}

func FuzzLayouts(f *testing.F) {
	for _, s := range []string{`%k %v\n`, `%d{strftime[%F]}`, `%h{%k=%v }`, `%V{big32}%v`, `%R%s`, `%v{unpack{<b}}`, `%{%}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, layout string) {
		p, r := sample()
		if w, err := NewWriter(layout); err == nil {
			w.Append(nil, p, r)
		}
		_, _ = NewReader(strings.NewReader("x"), layout)
	})
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"key":"k","value":null,"headers":[{"key":"a","value_base64":"/g=="}]}`))
	f.Add([]byte(`{"key":[1, 2],"key_schema_id":"","value":"v"}`))
	f.Add([]byte(`{"key":[1, 2],"key_schema_id":"guid","value":{"a": "<"},"value_schema_id":7,"value_message":[1,0]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, typed, err := parseEnvelope(line)
		if err != nil {
			return
		}
		text, err := AppendEnvelope(nil, r, typed, "")
		if err != nil {
			t.Fatal(err)
		}
		again, typedAgain, err := parseEnvelope(text)
		for part, by := range map[*[]byte]*SchemaRef{&r.Key: typed.Key, &r.Value: typed.Value} {
			var compact bytes.Buffer
			if by != nil && *part != nil && json.Compact(&compact, *part) == nil {
				*part = compact.Bytes()
			}
		}
		if (typed.Value != nil && r.Value != nil) != (typedAgain.Value != nil) {
			t.Fatalf("%s read back by %+v, want %+v", text, typedAgain.Value, typed.Value)
		}
		if err != nil || !bytes.Equal(again.Key, r.Key) || !bytes.Equal(again.Value, r.Value) || (again.Value == nil) != (r.Value == nil) {
			t.Fatalf("%s read back as %+v, %v", text, again, err)
		}
	})
}
