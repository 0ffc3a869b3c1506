//go:build cluster && linux

package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/meta/metatest"
	"github.com/weir-stream/weir/internal/base/seal"
	"github.com/weir-stream/weir/internal/base/servertest"
)

var prefixes atomic.Int64 // so that tests share a server and nothing on it

// open opens a store of its own at an endpoint, as servertest tells it.
func open(t *testing.T, endpoint string, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{Location: Location{Endpoints: []string{endpoint[len("http://"):]}, Prefix: fmt.Sprint("test/", prefixes.Add(1))}}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, meta.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// pass lets real time pass.
func pass(d time.Duration) { <-time.After(d) }

func TestConforms(t *testing.T) {
	t.Parallel()
	endpoint, _ := servertest.StartEtcd(t)
	metatest.Run(t, func(t *testing.T) metatest.Subject {
		return metatest.Subject{Store: open(t, endpoint), Advance: pass, Gaps: true}
	})
}

func TestForgottenPastIsRefused(t *testing.T) {
	t.Parallel()
	endpoint, _ := servertest.StartEtcd(t)
	s := open(t, endpoint)
	metatest.RunForgetting(t, metatest.Subject{Store: s, Advance: pass, Gaps: true}, func() {
		now, err := s.revision(t.Context())
		if err == nil {
			_, err = s.kv.Compact(t.Context(), &pb.CompactionRequest{Revision: now})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestSealedStoreConforms(t *testing.T) {
	t.Parallel()
	endpoint, _ := servertest.StartEtcd(t)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	keeper, err := seal.OpenKeyFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.OpenRing(t.Context(), open(t, endpoint), keeper, nil)
	if err != nil {
		t.Fatal(err)
	}
	metatest.Run(t, func(t *testing.T) metatest.Subject {
		m := seal.NewMeta(open(t, endpoint), ring)
		t.Cleanup(m.EndWatches)
		return metatest.Subject{Store: m, Advance: pass, Gaps: true}
	})
}
