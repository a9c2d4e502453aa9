package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func (d *Diagnosis) machine(o Options) {
	switch {
	case o.IsRoot:
		d.add(Machine, "root", OK, "the command runs as root", "")
	case o.volume():
		d.add(Machine, "root", OK, "not needed for a docker volume", "")
	default:
		d.add(Machine, "root", Missing, "the command does not run as root, whose the files on a disk are", "run it as root: sudo docker stickybuilder up")
	}
	d.capabilities()
	d.add(Machine, "cgroups", OK, cgroups(), "")
	d.userNamespaces()
}

const (
	capSysAdmin    = 21
	capSysResource = 24
)

// capabilities looks at the bounding set: what root may have here.
func (d *Diagnosis) capabilities() {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return
	}
	set, ok := bounding(string(b))
	switch {
	case !ok:
	case set&(1<<capSysAdmin) == 0:
		d.add(Machine, "capabilities", Missing, "root lacks CAP_SYS_ADMIN: nothing can be mounted", "in a container, have it run with --privileged")
	case set&(1<<capSysResource) == 0:
		d.add(Machine, "capabilities", Warning, "root lacks CAP_SYS_RESOURCE: stock engines cannot run privileged containers", "use --driver process")
	default:
		d.add(Machine, "capabilities", OK, "root has what it takes", "")
	}
}

// bounding reads CapBnd of /proc/PID/status.
func bounding(status string) (uint64, bool) {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return set, err == nil
		}
	}
	return 0, false
}

func cgroups() string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return "version 2"
	}
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup/unified", &st) == nil {
		return "version 1, with a version 2 hierarchy beside"
	}
	return "version 1"
}

// userNamespaces matter to builds that make their own, not to the builder.
func (d *Diagnosis) userNamespaces() {
	if b, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err == nil && strings.TrimSpace(string(b)) == "0" {
		d.add(Machine, "user namespaces", Warning, "there can be none: only builds that make their own notice", "sysctl user.max_user_namespaces=10000")
		return
	}
	if b, err := os.ReadFile("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"); err == nil && strings.TrimSpace(string(b)) == "1" {
		d.add(Machine, "user namespaces", OK, "AppArmor restricts them to root and to what has a profile: the builder is root's", "")
		return
	}
	d.add(Machine, "user namespaces", OK, "not restricted", "")
}

func (d *Diagnosis) process(ctx context.Context, o Options) {
	file, err := daemon.FindBuildkitd(o.Buildkitd, o.Path)
	if err != nil {
		d.add(Process, "buildkitd", Missing, err.Error(), fault.HintOf(err))
	} else {
		d.version(ctx, "buildkitd", file)
	}
	if err := daemon.CheckRunc("", o.Path); err != nil {
		d.add(Process, "runc", Missing, err.Error(), fault.HintOf(err))
	} else {
		d.version(ctx, "runc", daemon.Find(o.Path, "buildkit-runc", "runc"))
	}
	d.overlay(o)
}

var versionPattern = regexp.MustCompile(`\bv?(\d+)\.(\d+)\.\d+\S*`)

// The history of builds, without which nobody knows how they ended, came with 0.11;
// that its listeners are told of the end with 0.19.
const oldestMinor = 19

func (d *Diagnosis) version(ctx context.Context, what, file string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, file, "--version").CombinedOutput()
	if err != nil {
		d.add(Process, what, Missing, fmt.Sprintf("%s does not run: %v", file, err), "install it anew, for this machine's architecture")
		return
	}
	m := versionPattern.FindStringSubmatch(string(out))
	if m == nil {
		d.add(Process, what, Warning, file+" does not tell its version", "")
		return
	}
	if minor, _ := strconv.Atoi(m[2]); what == "buildkitd" && m[1] == "0" && minor < oldestMinor {
		d.add(Process, what, Missing, fmt.Sprintf("%s is version %s", file, m[0]), fmt.Sprintf("install 0.%d or newer from https://github.com/moby/buildkit/releases", oldestMinor))
		return
	}
	d.add(Process, what, OK, fmt.Sprintf("%s, version %s", file, m[0]), "")
}
