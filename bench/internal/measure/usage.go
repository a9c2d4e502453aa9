// Package measure runs programs and says what they used.
package measure

import (
	"os"
	"slices"
	"syscall"
	"time"
)

// Usage is what a run of one or several programs took.
type Usage struct {
	Wall time.Duration `json:"wall"`
	CPU  time.Duration `json:"cpu"`  // user and system time of all processes
	RSS  int64         `json:"rss"`  // bytes; peak of the largest process
	Disk int64         `json:"disk"` // bytes; peak of temporary files
}

// Then adds what came after u: times add up, peaks do not.
func (u Usage) Then(next Usage) Usage {
	return Usage{Wall: u.Wall + next.Wall, CPU: u.CPU + next.CPU, RSS: max(u.RSS, next.RSS), Disk: max(u.Disk, next.Disk)}
}

// Beside adds what ran at the same time, while u's wall clock went.
func (u Usage) Beside(other Usage) Usage {
	return Usage{Wall: u.Wall, CPU: u.CPU + other.CPU, RSS: max(u.RSS, other.RSS), Disk: u.Disk + other.Disk}
}

// ofProcess is what a process and the children that it waited for used. sampled is
// the peak of memory that was seen meanwhile. The kernel's own figure is exact but
// starts at the peak of the process that called exec(2): this one.
func ofProcess(s *os.ProcessState, wall time.Duration, sampled int64) Usage {
	u := Usage{Wall: wall, CPU: s.UserTime() + s.SystemTime(), RSS: sampled}
	if r, ok := s.SysUsage().(*syscall.Rusage); ok && r.Maxrss<<10 > peakMemory(os.Getpid()) { // getrusage(2): kilobytes
		u.RSS = max(u.RSS, r.Maxrss<<10)
	}
	return u
}

// Typical takes the medians of the times of several runs, and the largest peaks.
// Of an even number it takes the lower one of the two in the middle.
func Typical(runs []Usage) Usage {
	var out Usage
	if len(runs) == 0 {
		return out
	}
	out.Wall = median(runs, func(u Usage) time.Duration { return u.Wall })
	out.CPU = median(runs, func(u Usage) time.Duration { return u.CPU })
	for _, u := range runs {
		out.RSS, out.Disk = max(out.RSS, u.RSS), max(out.Disk, u.Disk)
	}
	return out
}

func median(runs []Usage, of func(Usage) time.Duration) time.Duration {
	var all []time.Duration
	for _, u := range runs {
		all = append(all, of(u))
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}
