//go:build cluster && linux

package s3

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/blobtest"
	"github.com/weir-stream/weir/internal/base/servertest"
)

// openReal opens a store on a real server.
func openReal(t *testing.T, server *servertest.S3, prefix string) *Store {
	t.Helper()
	o, err := ParseURL(server.URL(prefix))
	if err != nil {
		t.Fatal(err)
	}
	o.CredentialsFile = filepath.Join(t.TempDir(), "credentials")
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", server.AccessKey, server.SecretKey)
	if err := os.WriteFile(o.CredentialsFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestRealStoreKeepsTheRules(t *testing.T) {
	t.Parallel()
	server := servertest.StartS3(t)
	var n atomic.Int64
	blobtest.Run(t, func(t *testing.T) blob.Store {
		return openReal(t, server, fmt.Sprintf("test/%d", n.Add(1)))
	})
}
