package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// connections is how many lookups can be under way; at 2,000/s one is used for 30 ms before more is waited for.
const connections = 64

// timed is one lookup.
type timed struct{ due, sent, answered time.Time }

// lookups asks for random ids at a rate.
func lookups(ctx context.Context, address string, o options) ([]timed, error) {
	var mu sync.Mutex
	var took []timed
	var failed error
	var wg sync.WaitGroup
	total := int(o.seconds.Seconds()) * o.rate
	due := make(chan time.Time, total)
	for range connections {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		defer c.Close() //nolint:errcheck // everything has been read
		wg.Go(func() {
			r := bufio.NewReader(c)
			var mine []timed
			var err error
			for at := range due {
				l := timed{due: at}
				if err == nil { // the others go on
					err = lookup(c, r, address, 1+rand.IntN(o.schemas), &l)
				}
				mine = append(mine, l)
			}
			mu.Lock()
			took = append(took, mine...)
			failed = errors.Join(failed, err)
			mu.Unlock()
		})
	}
	wg.Go(func() {
		runtime.LockOSThread() // the thread sleeps in the system, and nothing else waits for it
		defer runtime.UnlockOSThread()
		defer close(due)
		began := time.Now()
		for i := range total {
			at := began.Add(time.Duration(i) * time.Second / time.Duration(o.rate))
			for left := time.Until(at); left > 0; left = time.Until(at) {
				t := syscall.NsecToTimespec(int64(left))
				syscall.Nanosleep(&t, nil) //nolint:errcheck // a signal that ends it early is what the loop is for
			}
			due <- at
		}
	})
	wg.Wait()
	return took, failed
}

// lookup asks once over a connection and waits for the answer.
func lookup(c net.Conn, r *bufio.Reader, address string, id int, l *timed) error {
	request := fmt.Appendf(nil, "GET /schemas/ids/%d HTTP/1.1\r\nHost: %s\r\nAccept: application/vnd.schemaregistry.v1+json\r\n\r\n", id, address)
	l.sent = time.Now()
	if _, err := c.Write(request); err != nil {
		return err
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(res.Body)
	l.answered = time.Now()
	if err == nil && !bytes.Contains(b, fmt.Appendf(nil, "Order%d", id-1)) {
		return fmt.Errorf("id %d: %d %s", id, res.StatusCode, b)
	}
	return err
}
