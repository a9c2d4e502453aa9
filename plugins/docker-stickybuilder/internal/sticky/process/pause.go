package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pausePoll is how often processes that are to stand still are looked at.
const pausePoll = time.Millisecond

// Pause makes a process, and all that are in the control group of the given path,
// stand still, and returns when no thread of theirs runs any more: each has done the
// system call that it was in. resume lets them go on; it is to be called in any case.
func Pause(ctx context.Context, id ID, cgroup string) (resume func(), err error) {
	stopped := map[ID]bool{}
	resume = func() {
		for s := range stopped {
			_ = s.Signal(unix.SIGCONT) // one that has died meanwhile needs none
		}
	}
	for {
		// The first one starts the others, so after it nothing new comes from outside.
		all := []ID{id}
		if cgroup != "" {
			all = append(all, inCgroup(cgroup)...)
		}
		still := true
		for _, p := range all {
			if stopped[p] || standsStill(p.PID) { // by itself, too
				continue
			}
			still = false
			if err := p.Signal(unix.SIGSTOP); err != nil {
				return resume, err
			}
			stopped[p] = true
		}
		for p := range stopped {
			still = still && standsStill(p.PID)
		}
		if still {
			return resume, nil
		}
		select {
		case <-ctx.Done():
			return resume, fmt.Errorf("pausing process %d: %w", id.PID, context.Cause(ctx))
		case <-time.After(pausePoll):
		}
	}
}

var containerGroup = regexp.MustCompile(`^.*/[^/]*[0-9a-f]{64}[^/]*`)

// ContainerGroup returns the control group of the container that a process is in, ""
// if it is in none.
func ContainerGroup(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	for line := range strings.Lines(string(b)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 {
			if group := containerGroup.FindString(parts[2]); group != "" {
				return group
			}
		}
	}
	return ""
}

// standsStill reports whether every thread of a process is stopped, or it has ended.
func standsStill(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/stat", pid))
	for _, t := range tasks {
		line, err := os.ReadFile(t)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue
			}
			return false
		}
		st, err := parseStat(line)
		if err != nil || (st.state != 'T' && st.state != 't' && st.state != 'Z' && st.state != 'X') {
			return false
		}
	}
	return true
}
