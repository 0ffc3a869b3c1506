package app_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// A broker that was not told where the objects of its cluster are says so before it waits for anybody.
func TestClusterWithoutAnObjectStoreIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	a := app.New(app.Options{Values: values(t, "/weir", "meta=etcd://127.0.0.1:1/weir"), Version: "test", Logger: slog.New(slog.DiscardHandler), FS: vfs.NewMem(), NoRunFile: true})
	err := a.Run(t.Context(), func() { t.Error("it is ready") })
	if err == nil || !strings.Contains(err.Error(), "setting blob is empty") {
		t.Errorf("got %v, want that blob is empty", err)
	}
}

// lockedBuffer is what a log is written to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Whoever lets brokers speak in the clear where others could listen is told; nobody else is.
func TestBrokersThatSpeakInTheClearBeyondTheMachineAreTold(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]bool{"127.0.0.1:0": false, "[::1]:0": false, "0.0.0.0:0": true} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			var log lockedBuffer
			a := app.New(app.Options{
				Values: values(t, "/weir", "cluster.listen="+listen), Version: "test", Logger: slog.New(slog.NewTextHandler(&log, nil)),
				FS: vfs.NewMem(), Blob: blob.NewMem(), Meta: meta.NewMem(meta.SystemClock()), NoRunFile: true,
			})
			stop := make(chan struct{})
			done := make(chan error, 1)
			ctx := t.Context()
			go func() { done <- a.Run(ctx, func() { close(stop) }) }()
			select {
			case <-stop:
			case err := <-done:
				t.Fatalf("the broker did not start: %v", err)
			}
			if got := strings.Contains(log.String(), "without encryption"); got != want {
				t.Errorf("told: %v, want %v:\n%s", got, want, log.String())
			}
		})
	}
}
