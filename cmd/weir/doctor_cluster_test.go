//go:build cluster && linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-stream/weir/internal/base/servertest"
)

func TestDoctorFindsARealStoreFit(t *testing.T) {
	t.Parallel()
	server := servertest.StartS3(t)
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("[default]\naws_access_key_id="+server.AccessKey+"\naws_secret_access_key="+server.SecretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, out, errOut := testSession("")
	if code := run(t.Context(), s, []string{"doctor", "blob", "--blob", server.URL("p") + "&credentials_file=" + file, "-o", "json", "--requests", "3"}); code != exitDone {
		t.Fatalf("exit code %d: %s\n%s", code, errOut, out)
	}
	var d blobDiagnosis
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if !d.Fit || len(d.Checks) != 9 || len(d.Latency) != 4 || d.Latency[0].P50Seconds <= 0 {
		t.Errorf("got %+v", d)
	}
}
