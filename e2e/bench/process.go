package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTicksPerSecond is USER_HZ, which Linux fixes at 100 for every architecture that Go runs on.
const clockTicksPerSecond = 100

// cpuTime is the time that a process has spent on processors, its own and the kernel's for it (proc_pid_stat(5)).
func cpuTime(pid int) (time.Duration, error) { return taskTime(fmt.Sprintf("/proc/%d/stat", pid)) }

// taskTime reads a stat file of a process or of one of its threads.
func taskTime(name string) (time.Duration, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("unreadable %s", name)
	}
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicksPerSecond, nil
}

// anonymousBytes is the memory of a process that is its own: no page cache, no program text.
func anonymousBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no RssAnon in /proc/%d/status", pid)
}
