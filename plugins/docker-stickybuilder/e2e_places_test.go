package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// refused runs an up that has to fail with words of its error and of its hint, and to
// leave nothing.
func (j *job) refused(says, hint string, args ...string) {
	j.t.Helper()
	_, err := j.run("docker-stickybuilder", append([]string{"up"}, args...)...)
	if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "hint: ") || !strings.Contains(err.Error(), hint) {
		j.t.Errorf("up %v: %v", args, err)
	}
	j.nothingLeft()
}

// A builder is not begun where its disk would be full at once, or BuildKit would copy
// every layer, unless the user wants that.
func TestUnsuitedPools(t *testing.T) {
	j := newJob(t)
	top := t.TempDir()
	mount := func(name, kind, options string) string {
		dir := filepath.Join(top, name)
		if err := errors.Join(os.MkdirAll(dir, 0o700), syscall.Mount(kind, dir, kind, 0, options)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		return dir
	}
	j.pool = filepath.Join(mount("small", "tmpfs", "size=16k"), "pool")
	j.refused("16 KiB are free, and a builder needs 64 MiB", "name a pool elsewhere", "--disk", "dir:"+j.pool)

	for _, dir := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	merged := mount("merged", "overlay", "lowerdir="+filepath.Join(top, "lower")+",upperdir="+filepath.Join(top, "upper")+",workdir="+filepath.Join(top, "work"))
	// A pool of plain files; a new one would make itself a filesystem.
	j.pool = filepath.Join(merged, "pool")
	for _, dir := range []string{"lineages", "work", "trash"} {
		if err := os.MkdirAll(filepath.Join(j.pool, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(j.pool, "pool.json"), []byte(`{"format":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	j.refused("cannot hold its layers: invalid argument", `snapshotter = "native"`, "--disk", "dir:"+j.pool)

	config := filepath.Join(top, "buildkitd.toml")
	if err := os.WriteFile(config, []byte("[worker.oci]\nsnapshotter = \"native\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var u struct{ Mode, Snapshotter string }
	j.sticky(&u, "up", "--disk", "dir:"+j.pool, "--key", "k", "--config", config)
	if u.Mode != "sticky" || u.Snapshotter != "native" {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	var r struct {
		report
		Snapshotter string
		Notes       []string
	}
	j.sticky(&r, "down")
	if r.Decision != "commit" || r.Snapshotter != "native" || strings.Contains(strings.Join(r.Notes, " "), "copies every layer") {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

// A builder without a disk begins empty each time, and its builds are judged all the same.
func TestNoDisk(t *testing.T) {
	j := newJob(t)
	scratch := filepath.Join(j.state, "docker-stickybuilder", "scratch", "work")
	for range 2 {
		var u cloned
		j.sticky(&u, "up", "--disk", "none")
		if u.Cache != "cold" || u.Clone.Method != "empty" {
			t.Errorf("%+v", u)
		}
		if copies, err := os.ReadDir(scratch); err != nil || len(copies) != 1 {
			t.Errorf("%v, %v", copies, err)
		}
		j.mustBuild()
		if _, err := j.run("docker-stickybuilder", "commit"); err == nil || !strings.Contains(err.Error(), "nothing is kept") {
			t.Errorf("a commit: %v", err)
		}
		r := j.down("--commit", "always")
		if r.Decision != "discard" || !strings.HasSuffix(r.Reason, "there is no disk, so nothing is kept") || r.outcomes() != "ok" || r.Builds[0].CachedSteps != 0 || r.Generation != "" {
			t.Errorf("%+v", r)
		}
		if copies, err := os.ReadDir(scratch); err != nil || len(copies) != 0 {
			t.Errorf("left: %v, %v", copies, err)
		}
		j.nothingLeft()
	}
	// Nor is anything left of one that was killed.
	j.sticky(new(upped), "up", "--disk", "none")
	s := j.status("sticky")
	kill(t, s.SupervisorPid, syscall.SIGKILL)
	j.eventually("the supervisor is dead", func() bool { return j.status("sticky").State == "dead" })
	if r := j.down(); r.Decision != "discard" {
		t.Errorf("%+v", r)
	}
	if copies, err := os.ReadDir(scratch); err != nil || len(copies) != 0 {
		t.Errorf("left: %v, %v", copies, err)
	}
	j.nothingLeft()
}

// Builds on somebody else's buildkitd are followed; the daemon is left as it is, and what
// others build on it meanwhile is not waited for.
func TestRemoteDaemon(t *testing.T) {
	j := newJob(t)
	j.upNamed("theirs", "--no-use") // a daemon that somebody else runs
	address := j.endpoint("theirs")
	if err := j.build("--builder", "theirs", "-f", "fail.Dockerfile"); err == nil {
		t.Fatal("a RUN that fails")
	}
	before := j.status("theirs")
	going := j.slowBuild("--builder", "theirs", "--build-arg", "SECONDS=1")

	remote := []string{"up", "mine", "--driver", "remote", "--endpoint", address}
	var u upped
	j.sticky(&u, remote...)
	if u.Driver != "remote" || u.Endpoint != address || u.State != "started" || u.Cache != "" {
		t.Errorf("%+v", u)
	}
	if j.sticky(&u, remote...); u.State != "running" {
		t.Errorf("a second up: %+v", u)
	}
	if _, err := j.run("docker-stickybuilder", "commit", "mine"); err == nil || !strings.Contains(err.Error(), "nothing is kept") {
		t.Errorf("a commit: %v", err)
	}
	j.mustBuild() // it is the current builder
	if s := j.status("mine"); s.State != "ready" || len(s.Builds) != 1 || s.Builds[0].Outcome != "ok" {
		t.Errorf("%+v", s)
	}
	if err := j.build("-f", "fail.Dockerfile"); err == nil {
		t.Error("a RUN that fails")
	}
	later := j.slowBuild("--builder", "theirs", "--build-arg", "SECONDS=2")
	j.eventually("it is seen", func() bool { return len(j.status("mine").Builds) == 3 })
	r := j.down("mine")
	if r.Decision != "discard" || r.outcomes() != "ok failed running" || r.Builds[0].Name != "src" || !strings.HasSuffix(r.Reason, "there is no disk, so nothing is kept") {
		t.Errorf("%s: %+v", r.outcomes(), r)
	}
	after := j.status("theirs")
	if after.State != "ready" || after.BuildkitdPid != before.BuildkitdPid {
		t.Errorf("the daemon: %+v", after)
	}
	if out, err := j.run(j.buildx, "inspect", "mine"); err == nil {
		t.Errorf("still registered: %s", out)
	}
	for _, c := range []*exec.Cmd{going, later} {
		if c.ProcessState != nil {
			t.Error("a build of somebody else has ended")
		}
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	j.down("theirs", "--commit", "never")
	j.nothingLeft()
}

func (j *job) endpoint(name string) string {
	j.t.Helper()
	var s struct{ Endpoint string }
	j.sticky(&s, "status", name)
	return s.Endpoint
}
