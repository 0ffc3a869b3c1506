package wire

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// sendfileBytes bounds one system call, so that a connection's deadline is looked at now and then.
const sendfileBytes = 4 << 20

// writeFile sends a file part, by sendfile where that is possible.
func writeFile(w io.Writer, p Part) (int64, error) {
	conn, ok := w.(*net.TCPConn)
	if !ok || p.Len <= 0 {
		return copyFile(w, p)
	}
	sent, err := sendFile(conn, p)
	if sent == 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)) {
		// Some file systems do not take part in sendfile.
		return copyFile(w, p)
	}
	return sent, err
}

// sendFile passes its own offset to the kernel on every call, because several connections may send from the same file.
// The runtime's poller waits for the socket: the function given to the raw connection returns false to be called again
// once there is room.
func sendFile(conn *net.TCPConn, p Part) (int64, error) {
	socket, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	file, err := p.File.SyscallConn()
	if err != nil {
		return 0, err
	}
	var sent int64
	var sendErr error
	controlErr := file.Control(func(source uintptr) {
		offset := p.Off
		err := socket.Write(func(target uintptr) bool {
			for sent < p.Len {
				n, err := unix.Sendfile(int(target), int(source), &offset, int(min(p.Len-sent, sendfileBytes)))
				switch {
				case n > 0:
					sent += int64(n)
				case err == unix.EAGAIN:
					return false
				case err == unix.EINTR:
				case err != nil:
					sendErr = fmt.Errorf("sendfile from %s at %d: %w", p.File.Name(), offset, err)
					return true
				default:
					sendErr = fmt.Errorf("sendfile from %s at %d: %w", p.File.Name(), offset, io.ErrUnexpectedEOF)
					return true
				}
			}
			return true
		})
		if err != nil && sendErr == nil {
			sendErr = err
		}
	})
	if controlErr != nil {
		return sent, controlErr
	}
	return sent, sendErr
}
