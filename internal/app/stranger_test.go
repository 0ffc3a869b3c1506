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

// strangers are connections whose clients have not logged in, few enough that all have come long before the first must have logged in,
// and what each of them may cost.
const (
	strangers        = 100
	strangerBytesMax = 96 << 10
)

// TestStrangersHoldLittle has many clients send almost all of the largest frame that may come before the login, and measures
// what the process holds for each, their own ends of the connections included.
func TestStrangersHoldLittle(t *testing.T) { //nolint:paralleltest // it measures the process
	a := newAuthority(t)
	for listener, size := range map[string]int{"sasl_plaintext": auth.LoginBytesMax, "sasl_ssl": auth.LoginBytesMaxTLS} {
		// Each with a server of its own, which ends with it: what the other's connections held would be given back meanwhile.
		t.Run(listener, func(t *testing.T) { strangersHoldLittle(t, a, listener, size) })
	}
}

func strangersHoldLittle(t *testing.T, a *authority, listener string, size int) {
	address := secured(t, a, nil, "max.connections.per.ip=5000").Addresses()["kafka."+listener]
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(size)), make([]byte, size-1)...)
	before := held()
	began := time.Now()
	for range strangers {
		c := dialRaw(t, address).Conn
		if listener == "sasl_ssl" {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test measures memory
		}
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	// The frames are on their way: all have come when there is as much as was sent. Some more looks see what comes after that.
	each, looks := int64(0), 0
	for looks < 3 && time.Since(began) < auth.LoginTimeout {
		<-time.After(20 * time.Millisecond)
		if each = max(each, (held()-before)/strangers); each >= int64(size) {
			looks++
		}
	}
	t.Logf("%d KiB for each of %d connections after %v", each>>10, strangers, time.Since(began))
	if each > strangerBytesMax {
		t.Errorf("a connection before its login holds %d bytes, at most %d", each, strangerBytesMax)
	}
	if each < int64(size) {
		t.Errorf("a connection holds %d bytes: the frames did not arrive", each)
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
