package systemd

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// manager listens as a service manager does, and returns what to read its messages with.
func manager(t *testing.T) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return path, func() string {
		b := make([]byte, 256)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func dial(t *testing.T, env map[string]string) *Manager {
	t.Helper()
	m, err := Dial(t.Context(), func(name string) string { return env[name] }, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestStatesReachTheManager(t *testing.T) {
	t.Parallel()
	path, next := manager(t)
	m := dial(t, map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"})
	for _, state := range []string{Ready, Stopping} {
		if err := m.Tell(state); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != state {
			t.Errorf("the manager read %q, want %q", got, state)
		}
	}
	if err := m.KeepAlive(t.Context()); err != nil || m.watchdog != 0 {
		t.Errorf("the watchdog of another process is kept every %v, error %v", m.watchdog, err)
	}
}

func TestWatchdogIsToldAgainAndAgain(t *testing.T) {
	t.Parallel()
	path, next := manager(t)
	m := dial(t, map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": "7"})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.KeepAlive(ctx) }()
	for range 3 {
		if got := next(); got != alive {
			t.Errorf("the manager read %q, want %q", got, alive)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWithoutManagerNothingIsDone(t *testing.T) {
	t.Parallel()
	m := dial(t, map[string]string{"WATCHDOG_USEC": "1000"})
	if m != nil {
		t.Fatalf("there is a manager: %+v", m)
	}
	if err := m.Tell(Ready); err != nil {
		t.Error(err)
	}
	if err := m.KeepAlive(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDialNamesTheVariableThatIsWrong(t *testing.T) {
	t.Parallel()
	path, _ := manager(t)
	for _, env := range []map[string]string{
		{"NOTIFY_SOCKET": path + "-not"},
		{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "soon"},
		{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "-1"},
		{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "9000000000000000000"},
	} {
		name := "NOTIFY_SOCKET"
		if env["WATCHDOG_USEC"] != "" {
			name = "WATCHDOG_USEC"
		}
		if m, err := Dial(t.Context(), func(name string) string { return env[name] }, 7); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with %v: %v, error %v", env, m, err)
		}
	}
}
