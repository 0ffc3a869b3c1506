package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/kafka"
)

func written(t testing.TB, r Response) []byte {
	t.Helper()
	var out bytes.Buffer
	size := r.Size()
	n, err := r.WriteTo(&out)
	if err != nil {
		t.Fatal(err)
	}
	if n != size || int64(out.Len()) != size || int64(binary.BigEndian.Uint32(out.Bytes()))+4 != size {
		t.Fatalf("wrote %d of %d bytes, frame says %d", n, size, binary.BigEndian.Uint32(out.Bytes())+4)
	}
	return out.Bytes()
}

func TestResponseHeaderForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		resp   kmsg.Response
		header []byte
	}{
		{&kmsg.MetadataResponse{Version: 8}, []byte{0, 0, 0, 5}},
		{&kmsg.MetadataResponse{Version: 9}, []byte{0, 0, 0, 5, 0}},
		{&kmsg.ApiVersionsResponse{Version: 0}, []byte{0, 0, 0, 5}},
		{&kmsg.ApiVersionsResponse{Version: 3}, []byte{0, 0, 0, 5}},
	} {
		got := written(t, EncodeResponse(RequestHeader{Key: c.resp.Key(), Version: c.resp.GetVersion(), CorrelationID: 5}, c.resp))
		if want := append(bytes.Clone(c.header), c.resp.AppendTo(nil)...); !bytes.Equal(got[4:], want) {
			t.Errorf("%T version %d: got %x, want %x", c.resp, c.resp.GetVersion(), got[4:], want)
		}
	}
}

// randomFetch returns the same contents in both forms, and the number of Dones that are to come.
func randomFetch(rng *rand.Rand, version int16, done *atomic.Int64) (*FetchResponse, *kmsg.FetchResponse, int64) {
	ours := &FetchResponse{Version: version, ThrottleMillis: rng.Int32(), Err: kafka.Error(rng.IntN(100)), SessionID: rng.Int32()}
	theirs := kmsg.NewPtrFetchResponse()
	theirs.Version, theirs.ThrottleMillis, theirs.ErrorCode, theirs.SessionID = version, ours.ThrottleMillis, int16(ours.Err), ours.SessionID
	dones := int64(0)
	for range rng.IntN(4) {
		topic := FetchTopic{Topic: fmt.Sprintf("topic-%d", rng.IntN(1000))}
		copy(topic.TopicID[:], randomBody(rng, 16))
		other := kmsg.NewFetchResponseTopic()
		other.Topic, other.TopicID = topic.Topic, topic.TopicID
		for i := range int32(rng.IntN(5)) {
			p := NewFetchPartition(i, kafka.Error(rng.IntN(9)))
			o := kmsg.NewFetchResponseTopicPartition()
			p.HighWatermark, p.LastStableOffset, p.LogStartOffset, p.PreferredReadReplica = rng.Int64(), rng.Int64(), rng.Int64(), rng.Int32N(3)-1
			for range rng.IntN(3) {
				a := AbortedTransaction{rng.Int64(), rng.Int64()}
				p.Aborted = append(p.Aborted, a)
				t := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				t.ProducerID, t.FirstOffset = a.ProducerID, a.FirstOffset
				o.AbortedTransactions = append(o.AbortedTransactions, t)
			}
			o.RecordBatches = []byte{}
			for range rng.IntN(4) {
				b := randomBody(rng, rng.IntN(300))
				p.Records = append(p.Records, Part{Bytes: b, Done: func() { done.Add(1) }})
				o.RecordBatches = append(o.RecordBatches, b...)
				dones++
			}
			o.Partition, o.ErrorCode, o.HighWatermark, o.LastStableOffset, o.LogStartOffset, o.PreferredReadReplica = p.Partition, int16(p.Err), p.HighWatermark, p.LastStableOffset, p.LogStartOffset, p.PreferredReadReplica
			if rng.IntN(2) == 0 {
				p.DivergingEpoch = &EpochEnd{rng.Int32(), rng.Int64()}
				o.DivergingEpoch.Epoch, o.DivergingEpoch.EndOffset = p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset
			}
			if rng.IntN(2) == 0 {
				p.CurrentLeader = &CurrentLeader{rng.Int32(), rng.Int32()}
				o.CurrentLeader.LeaderID, o.CurrentLeader.LeaderEpoch = p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch
			}
			if rng.IntN(2) == 0 {
				p.SnapshotID = &EpochEnd{rng.Int32(), rng.Int64()}
				o.SnapshotID.Epoch, o.SnapshotID.EndOffset = p.SnapshotID.Epoch, p.SnapshotID.EndOffset
			}
			topic.Partitions = append(topic.Partitions, p)
			other.Partitions = append(other.Partitions, o)
		}
		ours.Topics = append(ours.Topics, topic)
		theirs.Topics = append(theirs.Topics, other)
	}
	for range rng.IntN(3) {
		b := FetchBroker{NodeID: rng.Int32(), Host: "host.example", Port: 9092}
		// A long host makes the tag's length take two bytes.
		if rng.IntN(2) == 0 {
			b.Host = string(bytes.Repeat([]byte("h"), 200))
			b.Rack = new("rack")
		}
		ours.Brokers = append(ours.Brokers, b)
		o := kmsg.NewFetchResponseBroker()
		o.NodeID, o.Host, o.Port, o.Rack = b.NodeID, b.Host, b.Port, b.Rack
		theirs.Brokers = append(theirs.Brokers, o)
	}
	return ours, theirs, dones
}

func TestFetchResponseBytesEqualTheLibrarys(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for version := int16(4); version <= 18; version++ {
		for range 200 {
			var done atomic.Int64
			ours, theirs, dones := randomFetch(rng, version, &done)
			h := RequestHeader{Key: 1, Version: version, CorrelationID: rng.Int32()}
			want := written(t, EncodeResponse(h, theirs))
			got := written(t, EncodeFetchResponse(h, ours))
			if !bytes.Equal(got, want) {
				t.Fatalf("version %d:\n got %x\nwant %x", version, got, want)
			}
			if done.Load() != dones {
				t.Fatalf("version %d: %d of %d parts done", version, done.Load(), dones)
			}
		}
	}
}

type failingWriter struct{ left int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		n := w.left
		w.left = 0
		return n, io.ErrClosedPipe
	}
	w.left -= len(p)
	return len(p), nil
}

func TestDoneIsCalledOnceWhereverWritingFails(t *testing.T) {
	t.Parallel()
	file := tempFile(t, make([]byte, 100))
	for left := range 45 {
		var counts [5]int
		part := func(i int, p Part) Part {
			p.Done = func() { counts[i]++ }
			return p
		}
		r := Response{Parts: []Part{
			part(0, Part{Bytes: make([]byte, 10)}), part(1, Part{Bytes: make([]byte, 10)}),
			part(2, Part{From: file, Off: 5, Len: 10}), part(3, Part{}), part(4, Part{Bytes: make([]byte, 10)}),
		}}
		_, err := r.WriteTo(&failingWriter{left})
		if (err != nil) != (left < 40) {
			t.Errorf("room for %d bytes: %v", left, err)
		}
		if counts != [5]int{1, 1, 1, 1, 1} {
			t.Errorf("room for %d bytes: done %v times", left, counts)
		}
	}
	calls := 0
	Response{Parts: []Part{{Done: func() { calls++ }}, {}}}.Drop()
	if calls != 1 {
		t.Errorf("dropped: %d calls", calls)
	}
}

func tempFile(t testing.TB, content []byte) fileView {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := vfs.OS().Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return fileView{file}
}

// fileView gives views of a file, at most 300 KiB at a time.
type fileView struct{ vfs.File }

func (f fileView) View(off int64, n int) ([]byte, func(), error) {
	n = min(n, 300<<10)
	p, err := f.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(n)), off, n)
	return p, func() {}, err
}

// pipe returns the two ends of a connection, TCP or in memory.
func pipe(t testing.TB, tcp bool) (net.Conn, net.Conn) {
	t.Helper()
	if !tcp {
		a, b := net.Pipe()
		t.Cleanup(func() { _, _ = a.Close(), b.Close() })
		return a, b
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return server, client
}

func TestOneFileGoesToManyConnectionsAtOnce(t *testing.T) {
	t.Parallel()
	content := randomBody(rand.New(rand.NewPCG(5, 6)), 3<<20)
	file := tempFile(t, content)
	var work sync.WaitGroup
	for i := range 8 {
		server, client := pipe(t, i%4 != 0)
		off := int64(i) * 100_003
		length := int64(len(content)) - off
		work.Go(func() {
			r := Response{Parts: []Part{{Bytes: []byte("head")}, {From: file, Off: off, Len: length}, {Bytes: []byte("tail")}}}
			if n, err := r.WriteTo(server); err != nil || n != length+8 {
				t.Errorf("wrote %d, %v", n, err)
			}
			_ = server.Close()
		})
		work.Go(func() {
			got, err := io.ReadAll(client)
			want := append(append([]byte("head"), content[off:]...), "tail"...)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("connection %d: got %d bytes, want %d, %v", i, len(got), len(want), err)
			}
		})
	}
	work.Wait()
}

func TestShortFileIsAnError(t *testing.T) {
	t.Parallel()
	file := tempFile(t, make([]byte, 1000))
	for _, tcp := range []bool{false, true} {
		server, client := pipe(t, tcp)
		var work sync.WaitGroup
		work.Go(func() { _, _ = io.Copy(io.Discard, client) })
		done := 0
		r := Response{Parts: []Part{{From: file, Off: 500, Len: 501, Done: func() { done++ }}}}
		if _, err := r.WriteTo(server); !errors.Is(err, io.ErrUnexpectedEOF) || done != 1 {
			t.Errorf("tcp %t: got %v, done %d times", tcp, err, done)
		}
		_ = server.Close()
		work.Wait()
	}
}

func TestPeerThatLeavesEndsTheWriting(t *testing.T) {
	t.Parallel()
	file := tempFile(t, make([]byte, 32<<20))
	server, client := pipe(t, true)
	_ = client.Close()
	r := Response{Parts: []Part{{From: file, Len: 32 << 20}}}
	if _, err := r.WriteTo(server); err == nil {
		t.Error("no error")
	}
}

func BenchmarkEncodeFetch(b *testing.B) {
	for _, partitions := range []int{1, 100} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			records := make([]byte, 16<<10)
			resp := &FetchResponse{Version: 13, Topics: []FetchTopic{{Partitions: make([]FetchPartition, partitions)}}}
			for i := range resp.Topics[0].Partitions {
				resp.Topics[0].Partitions[i] = NewFetchPartition(int32(i), kafka.None)
				resp.Topics[0].Partitions[i].Records = []Part{{Bytes: records}}
			}
			b.ReportAllocs()
			for b.Loop() {
				EncodeFetchResponse(RequestHeader{Key: 1, Version: 13}, resp).Drop()
			}
		})
	}
}

func BenchmarkWriteFile(b *testing.B) {
	for _, tcp := range []bool{true, false} {
		b.Run(fmt.Sprintf("tcp=%t", tcp), func(b *testing.B) {
			file := tempFile(b, make([]byte, 1<<20))
			server, client := pipe(b, tcp)
			var work sync.WaitGroup
			work.Go(func() { _, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, client, make([]byte, 256<<10)) })
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Response{Parts: []Part{{From: file, Len: 1 << 20}}}).WriteTo(server); err != nil {
					b.Fatal(err)
				}
			}
			_ = server.Close()
			work.Wait()
		})
	}
}
