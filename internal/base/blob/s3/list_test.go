package s3

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestListGoesThroughPages(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.put("some/other/x", "", "")
	f.put("some/prefix/dir/", "", "")       // as consoles make folders
	f.put("some/prefix/Not-Ours", "", "")   // a name that no key has
	f.put("some/prefixed", "not below", "") // only begins like it
	const n = 2*pageKeys + 5
	for i := range n {
		f.put(fmt.Sprintf("some/prefix/%05d", i), "", "")
	}
	s := f.open(t)
	got, err := s.List(t.Context(), "", "", 0)
	if err != nil || len(got) != n || got[0].Key != "00000" || got[n-1].Key != fmt.Sprintf("%05d", n-1) {
		t.Errorf("got %d keys and %v, want %d", len(got), err, n)
	}
	if reqs := f.requests(opList); reqs != 3 {
		t.Errorf("%d requests, want 3", reqs)
	}
	got, err = s.List(t.Context(), "", "00010", pageKeys+7)
	if err != nil || len(got) != pageKeys+7 || got[0].Key != "00011" {
		t.Errorf("with a limit: %d keys, %v", len(got), err)
	}
}

func TestEmptyPagesAreFollowed(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.put("some/prefix/a", "", "")
	f.intercept = func(w http.ResponseWriter, r *http.Request, _ string, n int, _ http.HandlerFunc) bool {
		if n <= 3 {
			_, _ = fmt.Fprintf(w, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t%d</NextContinuationToken></ListBucketResult>", n)
			return true
		}
		if token := r.URL.Query().Get("continuation-token"); token != "t3" {
			t.Errorf("token %q, want t3", token)
		}
		return false
	}
	if got, err := f.open(t).List(t.Context(), "", "", 0); err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestHostileListingsEndInAnError(t *testing.T) {
	t.Parallel()
	one := func(key, size string) string {
		return "<Contents><Key>" + key + "</Key><Size>" + size + "</Size></Contents>"
	}
	result := func(contents string) string {
		return "<ListBucketResult><IsTruncated>true</IsTruncated>" + contents + "</ListBucketResult>"
	}
	tests := map[string]string{
		"same page for ever":   result(one("some/prefix/a", "1")),
		"not sorted":           result(one("some/prefix/b", "1") + one("some/prefix/a", "1")),
		"twice":                result(one("some/prefix/b", "1") + one("some/prefix/b", "1")),
		"another prefix":       result(one("other/a", "1")),
		"too many":             result(strings.Repeat(one("some/prefix/a", "1"), pageKeys+1)),
		"negative size":        result(one("some/prefix/a", "-1")),
		"gigantic size":        result(one("some/prefix/a", "9223372036854775807")),
		"size without sense":   result(one("some/prefix/a", "many")),
		"key too long":         result(one("some/prefix/"+strings.Repeat("a", 2000), "1")),
		"no progress":          result(""),
		"empty pages for ever": result("<NextContinuationToken>x</NextContinuationToken>"),
		"too long":             result(strings.Repeat(" ", maxAnswerBytes)),
		"no XML":               "hello",
		"something else":       "<Other/>",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int, _ http.HandlerFunc) bool {
				_, _ = io.WriteString(w, text)
				return true
			}
			s := f.open(t, func(o *Options) { o.RetryFor = time.Millisecond })
			if got, err := s.List(t.Context(), "", "", 0); err == nil {
				t.Errorf("got %d keys, want an error", len(got))
			}
		})
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>"), "bytes 0-1/2")
	f.Add([]byte("<Error><Code>SlowDown</Code><Message>\x01</Message></Error>"), "bytes 5-1/99999999999999999999")
	f.Add([]byte("<?xml version=\"1.0\"?>\n\n<Error>"), "bytes */0")
	f.Fuzz(func(t *testing.T, body []byte, span string) {
		_, _ = parsePage(body)
		isErrorBody(body)
		e := lateRefusal(reply{header: http.Header{"X-Amz-Bucket-Region": {span}}, body: body})
		if text := e.Error(); len(text) > 5*maxTextBytes || strings.ContainsAny(text, "\x00\n\x7f") {
			t.Errorf("error text %q", text)
		}
		first, last, size, err := contentRange(span)
		if err == nil && (first < 0 || last < first || size <= last || size > maxObjectBytes) {
			t.Errorf("%q is [%d, %d] of %d", span, first, last, size)
		}
	})
}
