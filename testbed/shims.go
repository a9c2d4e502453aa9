package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// stopShims ends the containers that outlived their engine, for example one
// that was killed, with their supervisors and control groups. A supervisor has
// the address of its containerd on its command line, and the addresses of the
// testbed's lie in its own directory.
func (b *Bed) stopShims() error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	var list fault.List
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		p, err := identify(pid)
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		id, ok := shimOf(string(cmdline), b.Run)
		if !ok {
			continue
		}
		b.Log.Say("stopping the container %s, left by its engine", id)
		for _, child := range children(p) {
			list.Add(child.Stop(time.Second))
		}
		list.Add(p.Stop(5 * time.Second))
		removeCgroups(id)
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("stopping containers: %w", err)
	}
	return nil
}

// shimOf tells by its command line whether a process is a containerd shim whose
// containerd listens below dir, and for which container.
func shimOf(cmdline, dir string) (id string, ok bool) {
	args := strings.Split(strings.TrimRight(cmdline, "\x00"), "\x00")
	if !strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") {
		return "", false
	}
	for i, a := range args[:len(args)-1] {
		switch a {
		case "-id":
			id = args[i+1]
		case "-address":
			ok = strings.HasPrefix(args[i+1], dir+"/")
		}
	}
	return id, ok
}

// children returns the processes that p started and, being their subreaper,
// inherited: the first processes of its container.
func children(p Process) []Process {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.PID))
	var out []Process
	for _, l := range lists {
		text, err := os.ReadFile(l)
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				if c, err := identify(pid); err == nil {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// removeCgroups removes the control groups of a dead container, of either
// version. One that is not empty stays.
func removeCgroups(id string) {
	if id == "" || strings.ContainsAny(id, "/*?[\\") {
		return
	}
	for _, pattern := range []string{"/sys/fs/cgroup/docker/", "/sys/fs/cgroup/*/docker/"} {
		dirs, _ := filepath.Glob(pattern + id)
		for _, dir := range dirs {
			os.Remove(dir)
		}
	}
}
