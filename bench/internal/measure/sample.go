package measure

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const sampleInterval = 50 * time.Millisecond

// peaks are the largest values that were seen.
type peaks struct{ rss, disk int64 }

// watch samples the memory of pid and its descendants, and what their files below
// dir take, until stop is closed, and sends the peaks.
func watch(pid int, dir string, stop <-chan struct{}) <-chan peaks {
	out := make(chan peaks, 1)
	go func() {
		tick := time.NewTicker(sampleInterval)
		defer tick.Stop()
		var p peaks
		for done := false; !done; {
			p.rss = max(p.rss, peakMemory(pid))
			if dir != "" {
				p.disk = max(p.disk, DiskUsage(dir)+removedFiles(pid, dir))
			}
			select {
			case <-stop:
				done = true
			case <-tick.C:
			}
		}
		if dir != "" {
			p.disk = max(p.disk, DiskUsage(dir))
		}
		out <- p
	}()
	return out
}

// peakMemory returns the largest resident set, in bytes, that pid or one of its
// living descendants has had since it was executed.
func peakMemory(pid int) int64 {
	proc := "/proc/" + strconv.Itoa(pid)
	peak := highWaterMark(proc + "/status")
	if pid != os.Getpid() {
		for _, child := range children(proc) {
			peak = max(peak, peakMemory(child))
		}
	}
	return peak
}

// highWaterMark reads VmHWM, see proc_pid_status(5); 0 if there is none any more.
func highWaterMark(status string) int64 {
	f, err := os.Open(status)
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kilobytes int64
		if _, err := fmt.Sscanf(s.Text(), "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	return 0
}

func children(proc string) []int {
	var out []int
	tasks, _ := filepath.Glob(proc + "/task/*/children")
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}
