package app

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// machineMemory is how many bytes of memory this process may have, as far as the system tells: the least of the machine's, the control group's and
// GOMEMLIMIT. 0 if nothing is known.
func machineMemory() int64 {
	most := debug.SetMemoryLimit(-1) // asks
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(path); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // else it is "max"
				most = min(most, n)
			}
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		most = min(most, memTotal(string(text)))
	}
	if most == math.MaxInt64 {
		return 0
	}
	return most
}

// memTotal finds the size of the machine's memory in /proc/meminfo.
func memTotal(text string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			if kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 53); err == nil {
				return kib << 10
			}
		}
	}
	return math.MaxInt64
}

// ringBytes is the memory for the end of the log: what the setting says, or what suits a machine of so much memory.
func ringBytes(setting, memory int64) int64 {
	if setting > 0 {
		return setting
	}
	return min(max(memory/16, 128<<20), 1<<30)
}
