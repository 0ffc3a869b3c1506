//go:build cluster && linux

package servertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startTries  = 4                // a free port may be taken by somebody else before the server listens on it
	startLimit  = 20 * time.Second // for one try, on a machine with much else to do
	pollEvery   = 10 * time.Millisecond
	logTailSize = 4000 // bytes of a server's log that a failed test shows
)

// Server is one running process. Its methods belong to the test's goroutine, or to one other at a time.
type Server struct {
	t      testing.TB
	binary string
	args   []string
	env    []string
	health string // URL that answers 200 once the server works
	log    string // file

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
}

// Kill ends the process at once, as kill -9 does, and waits until it is gone. What it had stored stays.
func (s *Server) Kill() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.exited
	s.cmd = nil
}

// Stop makes the process stand still (SIGSTOP), and returns once it does: connections stay open and nothing is answered.
func (s *Server) Stop() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	// A signal that was sent has yet to come; the kernel tells the parent when all threads have stopped.
	for {
		err := unix.Waitid(unix.P_PID, s.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			s.t.Fatalf("wait until %s stands still: %v", s.binary, err)
		}
	}
}

// Continue lets a stopped process go on.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

// Restart starts the process again on the same ports and data, ending it first if it runs, and returns once it works.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.cmd == nil {
		s.t.Fatalf("%s is not running", s.binary)
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// start runs the process and waits until it works. An error means that it has ended.
func (s *Server) start() error {
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // the process has a descriptor of its own
	//nolint:noctx // Its end is arranged with Cleanup; a context of the test would end it before other cleanups.
	cmd := exec.Command(s.binary, s.args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for !s.works() {
		select {
		case <-exited:
			s.cmd = nil
			return fmt.Errorf("%s ended: %s", s.binary, s.logTail())
		case <-limit.C:
			s.Kill()
			return fmt.Errorf("%s does not work after %v: %s", s.binary, startLimit, s.logTail())
		case <-poll.C:
		}
	}
	return nil
}

// works asks the server whether it does.
func (s *Server) works() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.health, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func (s *Server) logTail() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-logTailSize):]))
}

// run starts the server that configure describes for n free ports, with other ports if these were taken meanwhile.
func run(t testing.TB, variable, log string, n int, configure func(s *Server, ports []string)) *Server {
	t.Helper()
	binary := os.Getenv(variable)
	if binary == "" {
		t.Fatalf("%s is not set: run these tests with make cluster-test, or after eval \"$(test/servers/build.sh)\"", variable)
	}
	var err error
	for range startTries {
		s := &Server{t: t, binary: binary, log: log}
		configure(s, freePorts(t, n))
		if err = s.start(); err == nil {
			t.Cleanup(func() {
				s.Kill()
				if t.Failed() {
					t.Logf("the end of the log of %s:\n%s", binary, s.logTail())
				}
			})
			return s
		}
		if !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	t.Fatal(err)
	return nil
}

// Ports are looked for below those that the system gives to clients: a server may be down for a while and must find its port free then.
const (
	firstPort = 12000
	portsMax  = 8000
	portTries = 1000
)

// freePorts returns n different loopback ports on which nobody listens now.
func freePorts(t testing.TB, n int) []string {
	t.Helper()
	var ports []string
	for range portTries {
		port := strconv.Itoa(firstPort + rand.IntN(portsMax)) //nolint:gosec // so that tests which run at once do not meet
		//nolint:noctx // A loopback port is there at once or not at all.
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }() // held until all are found, so that they differ
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatalf("no %d free ports from %d on", n, firstPort)
	return nil
}
