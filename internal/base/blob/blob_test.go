package blob_test

import (
	"testing"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/blobtest"
	"github.com/weir-stream/weir/internal/base/vfs"
)

func TestMemConforms(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store { return blob.NewMem() })
}

func TestFaultWithoutFaultsConforms(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store { return blob.NewFault(blob.NewMem(), nil) })
}

func TestDirOnDiskConforms(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		d, err := blob.NewDir(vfs.OS(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}
