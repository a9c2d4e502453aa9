package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc, 1/100 s on every architecture of Linux.
const tick = 10 * time.Millisecond

// Busy returns how long the machine's processors were not idle since it was
// started, all together, and how many there are. See proc_stat(5).
func Busy() (used time.Duration, processors int) {
	text, _ := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 9 || !strings.HasPrefix(f[0], "cpu") {
			continue
		}
		if f[0] != "cpu" {
			processors++
			continue
		}
		for i, n := range f[1:9] {
			if i != 3 && i != 4 { // idle, and idle while waiting for a disk
				used += ticks(n)
			}
		}
	}
	return used, processors
}

// CPU returns what the program and the children that it has waited for have used so
// far. See proc_pid_stat(5).
func (d *Daemon) CPU() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	_, after, _ := strings.Cut(string(text), ") ") // the name may have blanks
	f := strings.Fields(after)
	if len(f) < 15 {
		return 0
	}
	return ticks(f[11]) + ticks(f[12]) + ticks(f[13]) + ticks(f[14])
}

func ticks(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64) // the kernel writes numbers
	return time.Duration(n) * tick
}
