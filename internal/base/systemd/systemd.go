// Package systemd tells the service manager that started this process how it is: that it answers (Type=notify), that it is stopping,
// and, as often as the manager wishes (WatchdogSec=), that it still runs. What speaks the same protocol, podman for one, understands it too.
//
// Without a manager, which says so by leaving NOTIFY_SOCKET out of the environment, there is no Manager, and the methods of a nil one do
// nothing. A message is one datagram of lines NAME=VALUE to a Unix socket (sd_notify(3)); nobody answers. Methods may be called together.
//
// The watchdog's message says that this process is scheduled and gets memory, and no more: whether stores answer is the business of
// 'weir cluster health', since a restart would not bring them back.
package systemd

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// States that a process tells.
const (
	Ready    = "READY=1"    // everything answers
	Stopping = "STOPPING=1" // it was told to stop, and does
	alive    = "WATCHDOG=1"
)

// Manager is the way to a service manager. Nil is none.
type Manager struct {
	conn     net.Conn
	watchdog time.Duration // 0: it does not ask
}

// Dial returns the manager that the variables of the environment name, nil if there is none. The watchdog's are meant for process pid
// alone, if they say which.
func Dial(ctx context.Context, getenv func(string) string, pid int) (*Manager, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixgram", path) // a name that begins with @ is an abstract one
	if err != nil {
		return nil, fmt.Errorf("connect to the service manager at NOTIFY_SOCKET: %w", err)
	}
	m := &Manager{conn: conn}
	if text, whose := getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"); text != "" && (whose == "" || whose == strconv.Itoa(pid)) {
		us, err := strconv.ParseInt(text, 10, 64)
		if err != nil || us <= 0 || us > int64(24*time.Hour/time.Microsecond) {
			conn.Close() //nolint:errcheck // nothing was sent
			return nil, fmt.Errorf("WATCHDOG_USEC is %q: it has to be a number of microseconds, at most those of a day", text)
		}
		m.watchdog = time.Duration(us) * time.Microsecond
	}
	return m, nil
}

// Tell sends a state. It waits if the manager is slow to read.
func (m *Manager) Tell(state string) error {
	if m == nil {
		return nil
	}
	if _, err := m.conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	return nil
}

// KeepAlive satisfies the watchdog until ctx ends, twice in each of its periods. It returns at once where nobody asks for that.
func (m *Manager) KeepAlive(ctx context.Context) error {
	if m == nil || m.watchdog == 0 {
		return nil
	}
	t := time.NewTicker(m.watchdog / 2)
	defer t.Stop()
	for {
		if err := m.Tell(alive); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Close ends the connection, after the last message.
func (m *Manager) Close() error {
	if m == nil {
		return nil
	}
	return m.conn.Close()
}
