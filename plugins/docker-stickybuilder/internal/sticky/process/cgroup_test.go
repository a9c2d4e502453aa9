package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inOwnNamespace runs a test once more, in a mount namespace of its own, and reports
// whether this is that run.
func inOwnNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "STICKY_OWN_NAMESPACE"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v") //nolint:gosec // this test itself
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// The machine may have either version: this one sees nothing but version 2.
func TestKillCgroupVersion2(t *testing.T) {
	if !inOwnNamespace(t) {
		return
	}
	const top = "/sys/fs/cgroup"
	if err := unix.Mount("none", top, "cgroup2", 0, ""); err != nil {
		t.Skipf("mounting cgroup2: %v", err)
	}
	killCgroup(t, top)
}

func TestKillCgroupVersion1(t *testing.T) {
	const top = "/sys/fs/cgroup/pids"
	if err := unix.Access(filepath.Join(top, "cgroup.procs"), unix.W_OK); err != nil {
		t.Skipf("this machine has no such hierarchy: %v", err)
	}
	killCgroup(t, top)
}

func killCgroup(t *testing.T, top string) {
	path := "/docker-stickybuilder-test-" + strconv.Itoa(os.Getpid()) + "/builder"
	t.Cleanup(func() { KillCgroup(path) })
	if n := KillCgroup(path); n != 0 {
		t.Errorf("killed %d in a group that is not there", n)
	}
	step := filepath.Join(top, path, "step")
	if err := os.MkdirAll(step, 0o755); err != nil {
		t.Fatal(err)
	}
	id := run(t, "sleep 60 & sleep 60 & echo; wait")
	if err := os.WriteFile(filepath.Join(step, "cgroup.procs"), []byte(strconv.Itoa(id.PID)), 0); err != nil {
		t.Fatal(err)
	}
	for _, child := range children(id.PID) {
		if err := os.WriteFile(filepath.Join(step, "cgroup.procs"), []byte(strconv.Itoa(child)), 0); err != nil {
			t.Fatal(err)
		}
	}
	other := run(t, "echo; exec sleep 60")
	ctx := t.Context()
	resume, err := Pause(ctx, other, path)
	for _, p := range inCgroup(path) {
		if !standsStill(p.PID) {
			t.Errorf("%+v goes on", p)
		}
	}
	if resume(); err != nil {
		t.Error(err)
	}
	if n := KillCgroup(path); n != 3 || id.Alive() || !other.Alive() {
		t.Errorf("killed %d, alive: %v, and the other one: %v", n, id.Alive(), other.Alive())
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err = os.Stat(filepath.Dir(filepath.Join(top, path))); os.IsNotExist(err) {
			return
		}
	}
	t.Errorf("the group is left: %v", err)
}
