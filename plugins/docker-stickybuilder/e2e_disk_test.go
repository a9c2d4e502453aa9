package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What BuildKit really leaves behind is sound; a generation that has lost a
// snapshot is found, marked, and stepped over by the next job, which is still warm.
func TestDamagedHeadIsSteppedOver(t *testing.T) {
	j := newJob(t)
	j.plain()
	j.upNamed("sticky")
	j.mustBuild()
	good := j.down().Generation
	j.upNamed("sticky")
	j.mustBuild("--no-cache")
	head := j.down().Generation

	disk := func(verb string, args ...string) []string {
		return append([]string{"disk", verb, "--disk", "dir:" + j.pool}, args...)
	}
	var v struct {
		Generation, Head    string
		Sound, Marked       bool
		Snapshots, Blobs, N int
		Findings            []string
	}
	for _, id := range []string{good, head} {
		j.sticky(&v, disk("verify", id)...)
		if !v.Sound || v.Generation != id || v.Snapshots < 3 {
			t.Errorf("%+v", v)
		}
	}
	dirs, err := filepath.Glob(filepath.Join(j.pool, "lineages", "*", "generations", head, "root", "*", "snapshots", "snapshots", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%v, %v", dirs, err)
	}
	if err := os.RemoveAll(dirs[0]); err != nil {
		t.Fatal(err)
	}
	_, err = j.run("docker-stickybuilder", disk("verify", "--key", "k", "--mark")...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) && (err == nil || !strings.Contains(err.Error(), "exit status 3")) {
		t.Errorf("verifying a damaged head: %v", err)
	}
	if u := j.upNamed("sticky"); u.Cache != "warm" || u.Generation != good {
		t.Errorf("%+v", u)
	}
	if _, err := j.run("docker-stickybuilder", disk("rm", "--all", "--key", "k")...); err == nil || !strings.Contains(err.Error(), "the disk is in use") {
		t.Errorf("removing a disk in use: %v", err)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Parent != good || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	if _, err := j.run("docker-stickybuilder", disk("gc", "--keep", "1")...); err != nil {
		t.Error(err)
	}
	if _, err := j.run("docker-stickybuilder", disk("rm", "--all", "--key", "k")...); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(j.pool, "*", "*")); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	j.nothingLeft()
}
