//go:build clusterchaos && linux

package cluster

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Kafka's own clients and tools see nothing of brokers that restart one after the other, and nothing of one that is killed but a pause.
// It needs Java 17 and Maven, as test/interop does.
func TestRollingRestartIsNoErrorToKafkasClients(t *testing.T) {
	c := start(t, 3, restless()...)
	j := c.java()
	at := time.Now()
	for range 2 {
		for _, b := range c.all {
			c.cycle(b)
			c.rest(2 * time.Second)
		}
	}
	took := time.Since(at)
	t.Logf("FIGURE Kafka's clients, rolling restart of 3 brokers, twice, in %.0f s: %s", took.Seconds(), j.end())
}

func TestKilledBrokersAreNoErrorToKafkasClients(t *testing.T) {
	c := start(t, 3, restless()...)
	j := c.java()
	for _, b := range c.all {
		b.broker.Kill()
		c.note("broker %d is killed", b.id)
		c.rest(2 * lease)
		c.restart(b)
		c.rest(2 * time.Second)
	}
	t.Logf("FIGURE Kafka's clients, each of 3 brokers killed once: %s", j.end())
}

// javaClients are the clients of testdata/Clients.java at work.
type javaClients struct {
	c     *nodes
	stop  func() error // closes their input, which ends them
	lines chan string
	ended chan error
}

// java starts Kafka's clients and waits until all of them work.
func (c *nodes) java() *javaClients {
	c.t.Helper()
	kafka, err := filepath.Abs("../kafka")
	if err != nil {
		c.t.Fatal(err)
	}
	fetch := exec.CommandContext(c.t.Context(), filepath.Join(kafka, "fetch.sh"))
	fetch.Stderr = os.Stderr
	libs, err := fetch.Output()
	if err != nil {
		c.t.Fatalf("fetch Kafka's classes: %v", err)
	}
	log, err := os.Create(filepath.Join(c.dir, "broker-java.log")) // beside those of the brokers, and kept like them
	if err != nil {
		c.t.Fatal(err)
	}
	//nolint:gosec // the arguments are the test's own
	cmd := exec.CommandContext(c.t.Context(), "java", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile="+filepath.Join(kafka, "log4j2.xml"), "-cp", strings.TrimSpace(string(libs))+"/*",
		"testdata/Clients.java", c.bootstrap(), fmt.Sprint(everyShard))
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	j := &javaClients{c: c, stop: in.Close, lines: make(chan string, 1000), ended: make(chan error, 1)}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			fmt.Fprintln(log, s.Text())
			j.lines <- s.Text()
		}
		close(j.lines)
		j.ended <- cmd.Wait()
		_ = log.Close() // it is only for reading after a failure
	}()
	for line := range j.lines {
		if line == "ready" {
			c.note("Kafka's clients are at work")
			return j
		}
	}
	c.t.Fatalf("Kafka's clients have ended: %v", <-j.ended)
	return nil
}

// end ends the clients, fails the test for each kind of error that they saw, and returns what they did.
func (j *javaClients) end() string {
	j.c.t.Helper()
	if err := j.stop(); err != nil {
		j.c.t.Error(err)
	}
	figure := ""
	for line := range j.lines {
		if errs, ok := strings.CutPrefix(line, "ERROR "); ok {
			j.c.t.Errorf("times and error: %s", errs)
		}
		if f, ok := strings.CutPrefix(line, "FIGURE "); ok {
			figure = f
		}
	}
	if err := <-j.ended; err != nil || figure == "" {
		j.c.t.Errorf("Kafka's clients ended with %v and the figure %q", err, figure)
	}
	return figure
}
