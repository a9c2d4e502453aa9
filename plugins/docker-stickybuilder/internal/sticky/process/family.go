package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// BecomeSubreaper makes orphans among this process's descendants its children,
// so that none escapes to init.
func BecomeSubreaper() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// children lists the processes whose parent is pid.
func children(pid int) []int {
	var out []int
	for _, p := range all() {
		if st, err := readStat(p); err == nil && st.ppid == pid {
			out = append(out, p)
		}
	}
	return out
}

func all() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	pids := make([]int, 0, len(dirs))
	for _, d := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(d)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Reap collects the exit status of children that have ended, except keep, which
// somebody else waits for. A subreaper has to do this now and then.
func Reap(keep int) {
	for _, pid := range children(os.Getpid()) {
		if st, err := readStat(pid); pid != keep && err == nil && st.state == 'Z' {
			var ws unix.WaitStatus
			_, _ = unix.Wait4(pid, &ws, unix.WNOHANG, nil)
		}
	}
}

// KillChildren kills all children of this process, and what becomes its child
// when they die, until there is none or rounds are used up. It returns how many
// were killed.
func KillChildren() int {
	killed := 0
	for range killRounds {
		left := children(os.Getpid())
		if len(left) == 0 {
			break
		}
		for _, pid := range left {
			st, err := readStat(pid)
			if err != nil {
				continue
			}
			if st.state != 'Z' {
				_ = unix.Kill(pid, unix.SIGKILL) // our own child: its pid cannot be recycled before Wait4
				killed++
			}
			var ws unix.WaitStatus
			_, _ = unix.Wait4(pid, &ws, unix.WNOHANG, nil)
		}
		time.Sleep(killPause)
	}
	return killed
}

// A process that was killed lives on until it has done the system call that it is in,
// and on a busy machine for a while before that.
const (
	killRounds = 500
	killPause  = 10 * time.Millisecond
)

// KillCgroup kills every process in the control group of the given path, such as
// "/docker-stickybuilder/x", or below it, and then removes the emptied groups,
// under cgroup v1 and v2 alike. It returns how many processes were killed.
func KillCgroup(path string) int {
	killed := map[ID]bool{}
	for range killRounds {
		kill(inCgroup(path), killed)
		// A group can only be removed once its last process is all gone.
		if removeCgroup(path) {
			break
		}
		time.Sleep(killPause)
	}
	return len(killed)
}

// kill notes those that it has killed.
func kill(all []ID, killed map[ID]bool) {
	for _, id := range all {
		if id.Signal(unix.SIGKILL) == nil {
			killed[id] = true
		}
	}
}

func inCgroup(path string) []ID {
	var out []ID
	for _, pid := range all() {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
		if err != nil || !memberOf(string(b), path) {
			continue
		}
		if id, err := Identify(pid); err == nil && id.Alive() {
			out = append(out, id)
		}
	}
	return out
}

// memberOf reads /proc/PID/cgroup, lines of "id:controllers:path" (cgroups(7)).
// The path ends with the group's, or contains it, where this process itself
// lives in a group that the kernel puts in front.
func memberOf(file, path string) bool {
	for line := range strings.Lines(file) {
		parts := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(parts) == 3 && strings.Contains(parts[2]+"/", path+"/") {
			return true
		}
	}
	return false
}

// removeCgroup reports whether no such group is left in any hierarchy.
func removeCgroup(path string) bool {
	gone := true
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		roots, _ := filepath.Glob(pattern)
		for _, root := range roots {
			top := filepath.Join(root, path)
			var dirs []string
			_ = filepath.WalkDir(top, func(p string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, p)
				}
				return nil
			})
			for i := len(dirs) - 1; i >= 0; i-- {
				_ = os.Remove(dirs[i]) // rmdir only works on a group without processes
			}
			if _, err := os.Lstat(top); err == nil {
				gone = false
			} else if len(dirs) > 0 {
				_ = os.Remove(filepath.Dir(top)) // the parent shared by all builders, if empty
			}
		}
	}
	return gone
}

// Namespace returns the mount namespace of a process, "mnt:[4026531841]", "" if
// that cannot be known.
func Namespace(pid int) string {
	s, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
	return s
}

// KillUsers kills the processes in the given mount namespace that have a path
// below dir among their arguments: the OCI runtimes that a dead daemon has left,
// which are in no control group of its. It returns when they have ended, and can make
// no control group any more, and tells how many were killed.
//
// A number alone would not do, since the kernel gives it to another namespace
// when the first one is gone.
func KillUsers(namespace, dir string) int {
	killed := map[ID]bool{}
	if namespace == "" || namespace == Namespace(os.Getpid()) || dir == "" {
		return 0
	}
	for range killRounds {
		left := users(namespace, dir)
		if len(left) == 0 {
			break
		}
		kill(left, killed)
		time.Sleep(killPause)
	}
	return len(killed)
}

func users(namespace, dir string) []ID {
	var out []ID
	for _, pid := range all() {
		if Namespace(pid) != namespace {
			continue
		}
		id, err := Identify(pid)
		if err != nil || !id.Alive() {
			continue
		}
		args, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err == nil && hasArg(string(args), dir) {
			out = append(out, id)
		}
	}
	return out
}

func hasArg(cmdline, dir string) bool {
	for arg := range strings.SplitSeq(cmdline, "\x00") {
		if arg == dir || strings.HasPrefix(arg, dir+"/") {
			return true
		}
	}
	return false
}
