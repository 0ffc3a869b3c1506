// Command goclient runs the Go clients sarama and kafka-go against the broker at $BOOTSTRAP and prints a line PASS or FAIL
// for each check. Which one is its argument. See ../README.md.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

var (
	servers = strings.Split(os.Getenv("BOOTSTRAP"), ",")
	run     = os.Getenv("RUN")
	seed    = os.Getenv("SEED")
	codecs  = []string{"none", "gzip", "snappy", "lz4", "zstd"}
)

func main() {
	checks := map[string]func(){"sarama": saramaChecks, "kafkago": kafkagoChecks}[strings.Join(os.Args[1:], " ")]
	if checks == nil {
		fmt.Fprintln(os.Stderr, "usage: goclient sarama|kafkago")
		os.Exit(2)
	}
	checks()
}

// check runs f and prints how it went. A check that takes more than four minutes has failed.
func check(name string, f func() error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	var err error
	select {
	case err = <-done:
	case <-time.After(4 * time.Minute):
		err = errors.New("not done after four minutes")
	}
	if err != nil {
		fmt.Printf("FAIL %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Printf("PASS %s\n", name)
}

// seeded returns the values that every client has to find in the seed topic.
func seeded() []string {
	var want []string
	for _, codec := range codecs {
		for i := range 10 {
			want = append(want, fmt.Sprintf("seed-%s-%d", codec, i))
		}
	}
	return want
}

// values returns n values of a client.
func values(prefix string, n int) []string {
	vs := make([]string, n)
	for i := range vs {
		vs[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return vs
}

// same compares two lists without regard to order.
func same(got, want []string) error {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		return fmt.Errorf("got %d values %.200q, want %d", len(got), got, len(want))
	}
	return nil
}

// eventually calls f until it returns nil, for a minute.
func eventually(f func() error) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err := f(); err == nil || time.Now().After(end) {
			return err
		}
	}
}
