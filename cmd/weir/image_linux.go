package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// releaseImage lets the kernel take back the pages of the program that the start mapped: code of initializers and their tables, and with
// them what the kernel maps around each page that is touched. What a running server needs comes back from the page cache, a few
// pages at a fault; of some 45 MiB, 15 do. See docs/design/0033.
func releaseImage() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	all, err := imageMappings(f, exe)
	if err != nil {
		return err
	}
	for _, m := range all {
		if _, _, e := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED); e != 0 {
			return fmt.Errorf("release mapping %x-%x: %w", m.start, m.end, e)
		}
	}
	return nil
}

// mapping is a range of addresses, [start, end).
type mapping struct{ start, end uintptr }

// imageMappings finds in smaps, a list as in /proc/PID/smaps, where the file exe is mapped and nothing but its own bytes can be: not where
// it may be written, and not where it was, as by a debugger that has set breakpoints.
func imageMappings(smaps io.Reader, exe string) ([]mapping, error) {
	var out []mapping
	var last *mapping // of which the lines are being read; nil if it is none of ours
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 3 && f[0] == "Anonymous:":
			if last != nil && f[1] == "0" {
				out = append(out, *last)
			}
		case len(f) >= 6 && len(f[1]) == 4:
			last = nil
			if strings.Join(f[5:], " ") != exe || strings.Contains(f[1], "w") {
				continue
			}
			from, to, _ := strings.Cut(f[0], "-")
			start, err := strconv.ParseUint(from, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("range %q of a mapping: %w", f[0], err)
			}
			end, err := strconv.ParseUint(to, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("range %q of a mapping: %w", f[0], err)
			}
			last = &mapping{uintptr(start), uintptr(end)}
		case len(f) > 0 && !strings.HasSuffix(f[0], ":"): // a mapping of no file
			last = nil
		}
	}
	return out, lines.Err()
}
