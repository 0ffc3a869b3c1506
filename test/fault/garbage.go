package fault

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxVersion is past every version of every API, so that random versions are right and wrong.
const maxVersion = 20

// insult connects to addr again and again until ctx ends, and sends what no client should. It returns how many
// connections it made. Each kind of garbage is one that has to end without memory or time of others being used up.
func insult(ctx context.Context, addr string, rng *rand.Rand) int {
	kinds := []func(context.Context, net.Conn, *rand.Rand){randomBytes, randomBody, hugeSize, halfFrame, slowLoris, hugeCounts, deaf}
	dialer := net.Dialer{Timeout: time.Second}
	n := 0
	for ctx.Err() == nil {
		nc, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			_ = pause(ctx, 10*time.Millisecond) // the listener may shed connections; try again until the end
			continue
		}
		n++
		_ = nc.SetDeadline(time.Now().Add(5 * time.Second)) // on a new connection it cannot fail in a way that matters
		kinds[rng.IntN(len(kinds))](ctx, nc, rng)
		_ = nc.Close()
	}
	return n
}

// The functions below write until the peer hangs up or they have said all; errors are what they are after.

func randomBytes(_ context.Context, nc net.Conn, rng *rand.Rand) {
	_, _ = nc.Write(noise(rng, 1+rng.IntN(64<<10)))
	drain(nc, rng)
}

// randomBody sends whole frames with the header of a real API and noise behind it.
func randomBody(_ context.Context, nc net.Conn, rng *rand.Rand) {
	for range 1 + rng.IntN(20) {
		if _, err := nc.Write(frame(header(rng), noise(rng, rng.IntN(2000)))); err != nil {
			return
		}
	}
	drain(nc, rng)
}

// hugeSize announces up to 2 GiB, sends a little of it and waits.
func hugeSize(ctx context.Context, nc net.Conn, rng *rand.Rand) {
	sizes := []uint32{1<<31 - 1, 1 << 31, 1<<32 - 1, 100 << 20, 100<<20 + 1, 64 << 20, 16 << 20}
	b := binary.BigEndian.AppendUint32(nil, sizes[rng.IntN(len(sizes))])
	_, _ = nc.Write(append(append(b, header(rng)...), noise(rng, rng.IntN(32<<10))...))
	_ = pause(ctx, time.Duration(rng.IntN(2000))*time.Millisecond)
}

// halfFrame hangs up in the middle of a frame.
func halfFrame(_ context.Context, nc net.Conn, rng *rand.Rand) {
	f := frame(header(rng), noise(rng, 1+rng.IntN(100<<10)))
	_, _ = nc.Write(f[:rng.IntN(len(f))])
}

// slowLoris sends a valid request a byte at a time and never ends it.
func slowLoris(ctx context.Context, nc net.Conn, rng *rand.Rand) {
	f := frame(header(rng), noise(rng, 1000))
	for i := range 40 {
		if _, err := nc.Write(f[i : i+1]); err != nil || pause(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
}

// hugeCounts sends real requests whose first array claims more elements than there are bytes.
func hugeCounts(_ context.Context, nc net.Conn, rng *rand.Rand) {
	for range 10 {
		count := binary.BigEndian.AppendUint32(nil, uint32(1<<31-1)>>rng.IntN(12))
		compact := binary.AppendUvarint(nil, uint64(1<<31)>>rng.IntN(12))
		body := count
		if rng.IntN(2) == 0 {
			body = append([]byte{0}, compact...)
		}
		if _, err := nc.Write(frame(header(rng), append(body, noise(rng, rng.IntN(200))...))); err != nil {
			return
		}
	}
	drain(nc, rng)
}

// deaf asks for metadata and versions many times over and reads nothing, so that answers pile up.
func deaf(ctx context.Context, nc net.Conn, rng *rand.Rand) {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("deaf"))
	req := kmsg.NewPtrApiVersionsRequest()
	one := f.AppendRequest(nil, req, 1)
	var many []byte
	for range 200 {
		many = append(many, one...)
	}
	for range 50 {
		if _, err := nc.Write(many); err != nil {
			return
		}
	}
	_ = pause(ctx, time.Duration(rng.IntN(1000))*time.Millisecond)
}

// header is a request header with a random API and version.
func header(rng *rand.Rand) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(rng.IntN(95)))      //nolint:gosec // below 95
	b = binary.BigEndian.AppendUint16(b, uint16(rng.IntN(maxVersion))) //nolint:gosec // below 20
	b = binary.BigEndian.AppendUint32(b, rng.Uint32())                 // correlation id
	return append(binary.BigEndian.AppendUint16(b, 1), 'g')
}

func frame(parts ...[]byte) []byte {
	b := make([]byte, 4)
	for _, p := range parts {
		b = append(b, p...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4)) //nolint:gosec // a small frame
	return b
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// drain reads for a short while what the broker answers, if anything.
func drain(nc net.Conn, rng *rand.Rand) {
	_ = nc.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(200)) * time.Millisecond)) // as above
	_, _ = nc.Read(make([]byte, 64<<10))
}
