package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountCgroups gives a machine that booted without an init the control groups
// that containers need: the unified hierarchy where the kernel's controllers
// are free for it, else one hierarchy for each. Nothing of what is mounted
// already changes. They stay, as they hold no resources.
func mountCgroups(log *Log) error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("mounting control groups: %w", err)
	}
	if strings.Contains(string(info), " - cgroup") {
		return nil
	}
	table, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return fmt.Errorf("mounting control groups: %w", err)
	}
	const root = "/sys/fs/cgroup"
	v1 := v1Controllers(string(table))
	log.Say("mounting control groups at %s", root)
	if len(v1) == 0 {
		if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
			return fmt.Errorf("mounting control groups: %w", err)
		}
		return nil
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mounting control groups: %w", err)
	}
	for _, c := range v1 {
		dir := filepath.Join(root, c)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("mounting control groups: %w", err)
		}
		if err := unix.Mount("cgroup", dir, "cgroup", 0, c); err != nil {
			return fmt.Errorf("mounting control group %s: %w", c, err)
		}
	}
	return nil
}

// v1Controllers lists the enabled controllers that some hierarchy of version 1
// holds; the number of the unified hierarchy is 0.
func v1Controllers(table string) []string {
	var out []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) == 4 && !strings.HasPrefix(f[0], "#") && f[1] != "0" && f[3] == "1" {
			out = append(out, f[0])
		}
	}
	return out
}
