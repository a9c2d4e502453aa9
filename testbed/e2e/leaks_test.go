//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// world is what a command could leave behind on the machine.
type world struct {
	processes, mounts, loops, temps, builders map[string]bool
}

// look takes stock. Processes count if their command line names a builder of
// this run or what one of the scenarios runs in a container; mounts if they
// belong to no engine.
func look(t *testing.T) world {
	t.Helper()
	w := world{processes: map[string]bool{}, mounts: map[string]bool{}, loops: map[string]bool{}, temps: map[string]bool{}, builders: map[string]bool{}}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		line, err := os.ReadFile(p)
		text := strings.ReplaceAll(string(line), "\x00", " ")
		if err == nil && (strings.Contains(text, builderPrefix()) || strings.Contains(text, "e2e-leak")) {
			w.processes[filepath.Dir(p)+" "+text] = true
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if point := f[4]; !strings.HasPrefix(point, "/proc") && !strings.Contains(point, "/state/engine") {
			w.mounts[point] = true
		}
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, l := range loops {
		backing, _ := os.ReadFile(l)
		w.loops[l+" "+string(backing)] = true
	}
	for _, pattern := range []string{"docker-repack-*", "docker-stitch*", "docker-evidence*", "stickybuilder*", "stereoscope*", "syft*"} {
		found, _ := filepath.Glob(filepath.Join(os.TempDir(), pattern))
		for _, f := range found {
			w.temps[f] = true
		}
	}
	builders, _ := filepath.Glob(filepath.Join(bed.config, "buildx/instances/*"))
	for _, b := range builders {
		w.builders[b] = true
	}
	return w
}

// leavesNothing fails the test if, at its end, there is more of anything than now.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := look(t)
	t.Cleanup(func() {
		var left []string
		for range 50 { // what was told to stop may take a moment
			left = left[:0]
			now := look(t)
			for _, pair := range [][2]map[string]bool{
				{before.processes, now.processes},
				{before.mounts, now.mounts},
				{before.loops, now.loops},
				{before.temps, now.temps},
				{before.builders, now.builders},
			} {
				for k := range pair[1] {
					if !pair[0][k] {
						left = append(left, k)
					}
				}
			}
			if len(left) == 0 {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	})
}
