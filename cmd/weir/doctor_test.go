package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDoctorBlobSaysWhatItWants(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"doctor blob":                                                "--blob",
		"doctor blob --blob file:./data":                             "s3://",
		"doctor blob --blob s3://user:hunter2@bucket":                "AWS_ACCESS_KEY_ID",
		"doctor blob --blob s3://bucket --requests 100000":           "--requests",
		"doctor blob --blob s3://bucket?regoin=x":                    "regoin",
		"doctor blob --blob s3://bucket?endpoint=ftp://127.0.0.1:80": "endpoint",
	}
	for line, want := range tests {
		s, out, errOut := testSession("")
		if code := run(t.Context(), s, strings.Fields(line)); code != exitUsage || out.Len() > 0 {
			t.Errorf("%s: exit code %d, output %q", line, code, out)
		}
		if got := errOut.String(); !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: got %q, want %q in it", line, got, want)
		}
	}
}

func TestDoctorBlobFailsOnAnUnfitStore(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>AccessDenied</Code></Error>")
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("[default]\naws_access_key_id=a\naws_secret_access_key=s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, out, errOut := testSession("")
	s.env = func(name string) string {
		return map[string]string{"WEIR_BLOB": "s3://bucket?endpoint=" + server.URL + "&credentials_file=" + file}[name]
	}
	if code := run(t.Context(), s, []string{"doctor", "blob", "-o", "json"}); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	for _, want := range []string{`"fit": false`, `"check": "read after write"`, `"result": "failed"`, "AccessDenied"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output has no %s:\n%s", want, out)
		}
	}
	if !strings.Contains(errOut.String(), "cannot be used") || !strings.Contains(errOut.String(), "fix: these keys may not do it") {
		t.Errorf("got %q, want that the keys may not", errOut)
	}
}

func TestDoctorBlobPrintsTables(t *testing.T) {
	t.Parallel()
	d := blobDiagnosis{
		Store: "s3://bucket/p", Fit: true, took: 1234 * time.Millisecond,
		Checks:  []checkRow{{Check: "read after write", Result: "ok", Seconds: 0.0123}},
		Latency: []latencyRow{{"put", 65536, 30, 0.011, 0.0423}},
	}
	var out bytes.Buffer
	if err := d.write(&out, false); err != nil {
		t.Fatal(err)
	}
	want := `CHECK             RESULT    MS
read after write  ok      12.3

OP   BYTES  REQUESTS  P50 MS  P99 MS
put  65536        30    11.0    42.3

s3://bucket/p is fit for a cluster. All checks took 1.2 s.
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestServerNamesTheStoreThatDoesNotOpenAndTheWayOut(t *testing.T) {
	t.Parallel()
	for code, fix := range map[string]string{
		"NoSuchBucket": "make the bucket", "SignatureDoesNotMatch": "check AWS_ACCESS_KEY_ID", "RequestTimeTooSkewed": "set the clock", "AccessDenied": "these keys may not",
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(map[bool]int{true: http.StatusNotFound, false: http.StatusForbidden}[code == "NoSuchBucket"])
				fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
			}))
			t.Cleanup(server.Close)
			file := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(file, []byte("[default]\naws_access_key_id=a\naws_secret_access_key=s\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, _, errOut := testSession("")
			if got := run(t.Context(), s, []string{"server", "--data", t.TempDir(), "--blob", "s3://bucket/data?endpoint=" + server.URL + "&credentials_file=" + file}); got != exitFailed {
				t.Errorf("exit code %d, want %d", got, exitFailed)
			}
			for _, want := range []string{"setting blob, s3://bucket/data?", code, "fix: " + fix} {
				if !strings.Contains(errOut.String(), want) {
					t.Errorf("got %q, want %q in it", errOut, want)
				}
			}
		})
	}
}
