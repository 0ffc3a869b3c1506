//go:build fault

package fault

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	diskBytes    = 1 << 30
	ballastBytes = 384 << 20
)

// TestFullDiskIsSurvived runs the broker on a small file system and fills it: producing gets a retriable error, reading
// goes on, and once space is freed producing works again, without a restart and with nothing acknowledged lost.
func TestFullDiskIsSurvived(t *testing.T) {
	const topic, partitions = "disk", int32(2)
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=1g"); err != nil {
		t.Fatalf("this test mounts a tmpfs and needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(mount, "ballast")
	if err := os.WriteFile(ballast, make([]byte, ballastBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, filepath.Join(mount, "data"), freeAddress(t, random(t)))
	if err := createTopic(t.Context(), b.Kafka, topic, partitions); err != nil {
		t.Fatal(err)
	}
	h := NewHistory()
	full := fill(t, b.Kafka, topic, h)
	var ke *kerr.Error
	if !errors.As(full, &ke) || !ke.Retriable {
		t.Errorf("a full disk gives %v, want a retriable error", full)
	}
	acked := h.AckedNow()
	t.Logf("full after %d values of 256 KiB: %v", len(acked), full)
	readAll(t, b, topic, partitions, h, acked)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for {
		err := put(t.Context(), b.Kafka, topic, "after", h)
		if err == nil {
			break
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("no produce in 30 s after space was freed: %v", err)
		}
	}
	t.Logf("produce works again %v after space was freed", time.Since(begin))
	readAll(t, b, topic, partitions, h, h.AckedNow())
	b.Kill()
	b = start(t, b.Data, b.Kafka)
	readAll(t, b, topic, partitions, h, h.AckedNow())
	for _, s := range h.Check() {
		t.Error(s)
	}
}

// fill produces values of 256 KiB that do not compress until one is refused, and returns why.
func fill(t *testing.T, addr, topic string, h *History) error {
	t.Helper()
	for range 2 * diskBytes / (256 << 10) {
		value := make([]byte, 256<<10)
		_, _ = rand.Read(value) // never fails
		if err := put(t.Context(), addr, topic, string(value), h); err != nil {
			return err
		}
	}
	t.Fatal("twice the disk's size was taken without an error")
	return nil
}

// put sends one value, once.
func put(ctx context.Context, addr, topic, value string, h *History) error {
	cl, err := client(addr, kgo.DefaultProduceTopic(topic), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	h.Sent(value)
	r, err := cl.ProduceSync(ctx, &kgo.Record{Value: []byte(value)}).First()
	if err != nil {
		return err
	}
	h.Acked(Place{r.Partition, r.Offset}, value)
	return nil
}
