// Package machinetest runs the scripts that tests of coordinators' state machines are written in. A script is a file of blocks with
// empty lines between; a block with a line of four dashes is a test, what stands before them are commands, what follows is their output:
//
//	# a comment
//	init id=x timeout=1m
//	commit p=100/0
//	----
//	record: x 100/0 Empty v0 (a producer came in)
//	reply: NONE 100/0
//
// What the commands are is the test's own. Only tests import the package; it is used by one goroutine for each script.
package machinetest

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Script runs the commands of a file one after the other, and compares what each block of them wrote to out with what the file says.
// With rewrite the file is written anew instead.
func Script(t *testing.T, file string, rewrite bool, out *strings.Builder, run func(command string)) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rewritten strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		if i > 0 {
			rewritten.WriteString("\n")
		}
		input, want, isTest := strings.Cut(block+"\n", "----\n")
		if !isTest {
			rewritten.WriteString(block + "\n")
			continue
		}
		out.Reset()
		for line := range strings.Lines(input) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				run(line)
			}
		}
		got := out.String()
		if got != want && !rewrite {
			t.Errorf("%s:\n%s---- got\n%s---- want\n%s", file, input, got, want)
		}
		rewritten.WriteString(input + "----\n" + got)
	}
	if rewrite {
		if err := os.WriteFile(file, []byte(rewritten.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Args are the words of a command: key=value, or a bare flag. What is not of the form that is asked for ends the test by a panic, since it is
// a mistake in the script.
type Args map[string]string

// ParseArgs reads the words that follow a command.
func ParseArgs(words []string) Args {
	a := Args{}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		a[key] = value
	}
	return a
}

// Has tells whether the word is there.
func (a Args) Has(key string) bool { _, ok := a[key]; return ok }

// Or returns the value of a word, or the other one if it is not there.
func (a Args) Or(key, value string) string {
	if v, ok := a[key]; ok {
		return v
	}
	return value
}

// Int returns a word's number.
func (a Args) Int(key string, otherwise int64) int64 {
	n, err := strconv.ParseInt(a.Or(key, strconv.FormatInt(otherwise, 10)), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// Duration returns a word's duration.
func (a Args) Duration(key, otherwise string) time.Duration {
	d, err := time.ParseDuration(a.Or(key, otherwise))
	if err != nil {
		panic(err)
	}
	return d
}
