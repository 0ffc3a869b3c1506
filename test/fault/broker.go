package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Broker is a running weir server.
type Broker struct {
	Kafka   string        // address of the Kafka listener
	Data    string        // its folder
	Started time.Duration // from the start of the process to run.json
	// Addresses of all that it serves, by name.
	Addresses map[string]string

	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{}
	err    error // of the process, once exited is closed
}

// runFile is the part of run.json that is used here.
type runFile struct {
	Pid       int               `json:"pid"`
	Addresses map[string]string `json:"addresses"`
}

// Start starts the binary on the folder data and waits for its run.json. listen is the address for Kafka; port 0 lets the
// system choose. Output goes to data + ".log". The process is killed when ctx ends.
//
// More arguments of the command may follow.
func Start(ctx context.Context, binary, data, listen string, more ...string) (*Broker, error) {
	run := filepath.Join(data, "run.json")
	if err := os.Remove(run); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	log, err := os.OpenFile(data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	b := &Broker{Data: data, log: log, exited: make(chan struct{})}
	args := append([]string{"server", "--data", data, "--kafka-listen", listen, "--admin-listen", "127.0.0.1:0"}, more...)
	b.cmd = exec.CommandContext(ctx, binary, args...)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	begin := time.Now()
	if err := b.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() {
		b.err = b.cmd.Wait()
		close(b.exited)
	}()
	limit := time.After(60 * time.Second)
	for {
		if f, err := readRun(run); err == nil && f.Pid != 0 {
			b.Kafka, b.Started, b.Addresses = f.Addresses["kafka"], time.Since(begin), f.Addresses
			return b, nil
		}
		select {
		case <-b.exited:
			return nil, fmt.Errorf("the broker ended before it was ready: %w\n%s", b.err, tailOf(log.Name()))
		case <-limit:
			b.Kill()
			return nil, fmt.Errorf("no run.json after 60 s\n%s", tailOf(log.Name()))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func readRun(name string) (runFile, error) {
	var f runFile
	b, err := os.ReadFile(name) //nolint:gosec // a path of ours
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(b, &f)
}

// tailOf returns the last lines of a log.
func tailOf(name string) string {
	b, err := os.ReadFile(name) //nolint:gosec // a path of ours
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (b *Broker) Kill() {
	_ = b.cmd.Process.Kill() // it may be gone already
	<-b.exited
	_ = b.log.Close() // nothing writes to it any more
}

// Stop ends the process with SIGTERM and returns how long that took. After limit the process is killed.
func (b *Broker) Stop(limit time.Duration) (time.Duration, error) {
	begin := time.Now()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-b.exited:
		return time.Since(begin), errors.Join(b.err, b.log.Close())
	case <-time.After(limit):
		b.Kill()
		return time.Since(begin), fmt.Errorf("still running %v after SIGTERM", limit)
	}
}

// Signal sends a signal to the process, as SIGSTOP and SIGCONT.
func (b *Broker) Signal(s syscall.Signal) error { return b.cmd.Process.Signal(s) }

// Exited is closed when the process has ended.
func (b *Broker) Exited() <-chan struct{} { return b.exited }

// Running tells whether the process has not ended yet.
func (b *Broker) Running() bool {
	select {
	case <-b.exited:
		return false
	default:
		return true
	}
}

// LogTail returns the last lines that the broker wrote.
func (b *Broker) LogTail() string { return tailOf(b.log.Name()) }

// ResidentBytes returns the memory of the process.
func (b *Broker) ResidentBytes() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}

// ProcessorTime returns what the process has used of the processors, in hundredths of a second.
func (b *Broker) ProcessorTime() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the name before may hold anything
	if len(fields) < 13 {
		return 0, errors.New("no times in /proc")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err, err2)
}
