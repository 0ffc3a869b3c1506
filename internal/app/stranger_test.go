//go:build !race

package app_test

import (
	"crypto/tls"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/broker/auth"
)

// strangers are connections whose clients have not logged in, and what each of them may cost.
const (
	strangers        = 200
	strangerBytesMax = 96 << 10
)

// TestStrangersHoldLittle has many clients send almost all of the largest frame that may come before the login, and measures
// what the process holds for each, their own ends of the connections included.
func TestStrangersHoldLittle(t *testing.T) { //nolint:paralleltest // it measures the process
	a := newAuthority(t)
	for listener, size := range map[string]int{"sasl_plaintext": auth.LoginBytesMax, "sasl_ssl": auth.LoginBytesMaxTLS} { // each with buffers of its own: pools are emptied
		address := secured(t, a, nil, "max.connections.per.ip=5000").Addresses()["kafka."+listener]
		frame := append(binary.BigEndian.AppendUint32(nil, uint32(size)), make([]byte, size-1)...)
		before := held()
		for range strangers {
			c := dialRaw(t, address).Conn
			if listener == "sasl_ssl" {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test measures memory
			}
			if _, err := c.Write(frame); err != nil {
				t.Fatal(err)
			}
		}
		each := int64(0)
		for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
			each = max(each, (held()-before)/strangers)
		}
		t.Logf("%s: %d KiB for each of %d connections", listener, each>>10, strangers)
		if each > strangerBytesMax {
			t.Errorf("%s: a connection before its login holds %d bytes, at most %d", listener, each, strangerBytesMax)
		}
		if each < int64(size) {
			t.Errorf("%s: a connection holds %d bytes: the frames did not arrive", listener, each)
		}
	}
}

// held is the memory in use, stacks included.
func held() int64 {
	runtime.GC()
	runtime.GC() // pools give back what they hold at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
