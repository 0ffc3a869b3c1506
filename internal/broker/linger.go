package broker

import (
	"context"
	"net"
	"time"
)

// lingerTimeout bounds how long an ended connection is still read, and lingerQuiet how long it is when nothing comes.
const (
	lingerTimeout = 500 * time.Millisecond
	lingerQuiet   = 100 * time.Millisecond
)

// lastAnswers sees to it that the last answers reach a client that is still sending. The kernel resets a connection that is closed with
// bytes unread, or gets more of them later, and a reset throws away whatever is on its way to the client. So the client is told
// the end first and what it sends until it has understood is thrown away, for a moment.
func (c *connection) lastAnswers(ctx context.Context, raw net.Conn) {
	half, ok := raw.(interface{ CloseWrite() error })
	if !ok {
		return // a pipe within the process: what was written was read
	}
	if tls, ok := c.conn.(interface{ CloseWrite() error }); ok && c.under != nil {
		tls.CloseWrite() //nolint:errcheck // a client that is gone needs no goodbye
	}
	if half.CloseWrite() != nil {
		return
	}
	var thrown [4096]byte // not decrypted: nothing is to be made of it
	for end := time.Now().Add(lingerTimeout); ; {
		by := time.Now().Add(lingerQuiet)
		if by.After(end) {
			by = end
		}
		raw.SetReadDeadline(by) //nolint:errcheck // fails only on a closed connection
		if ctx.Err() != nil {   // it may have set its own deadline just before
			return
		}
		if _, err := raw.Read(thrown[:]); err != nil {
			return
		}
	}
}
