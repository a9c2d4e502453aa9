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

func TestDaemonIsKilledInABuild(t *testing.T) {
	j := newJob(t)
	j.upNamed("sticky")
	j.mustBuild()
	head := j.down().Generation

	j.upNamed("sticky")
	j.mustBuild()
	client := j.slowBuild()
	kill(t, j.status("sticky").BuildkitdPid, syscall.SIGKILL)
	if err := client.Wait(); err == nil {
		t.Error("the build has succeeded")
	}
	j.eventually("the supervisor notices", func() bool { return j.status("sticky").State == "crashed" })
	j.eventually("the RUN process is killed", func() bool { return len(j.inCgroup()) == 0 })
	r := j.down()
	if r.Decision != "discard" || r.Head != head || r.CleanShutdown || r.outcomes() != "ok lost" || !strings.Contains(r.Reason, "killed") {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()

	// The databases are sound nevertheless: any-ok keeps the work.
	j.upNamed("sticky")
	j.mustBuild("--no-cache")
	kill(t, j.status("sticky").BuildkitdPid, syscall.SIGKILL)
	j.eventually("the supervisor notices", func() bool { return j.status("sticky").State == "crashed" })
	r = j.down("--commit", "any-ok")
	if r.Decision != "commit" || r.Head == head {
		t.Errorf("%+v", r)
	}
	if u := j.upNamed("sticky"); u.Generation != r.Generation {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

func TestSupervisorIsKilledInABuild(t *testing.T) {
	for _, then := range []string{"down", "up", "recover"} {
		t.Run(then, func(t *testing.T) {
			j := newJob(t)
			j.upNamed("sticky")
			client := j.slowBuild()
			s := j.status("sticky")
			kill(t, s.SupervisorPid, syscall.SIGKILL)
			if err := client.Wait(); err == nil {
				t.Error("the build has succeeded")
			}
			if s := j.status("sticky"); s.State != "dead" || s.Builds[0].Outcome != "lost" {
				t.Errorf("%+v", s)
			}
			switch then {
			case "recover":
				var all []report
				j.sticky(&all, "recover")
				if len(all) != 1 || all[0].Decision != "discard" {
					t.Errorf("%+v", all)
				}
			case "up":
				if u := j.upNamed("sticky"); u.State != "started" || u.Cache != "cold" {
					t.Errorf("%+v", u)
				}
				j.mustBuild()
				if r := j.down(); r.Decision != "commit" || r.outcomes() != "ok" {
					t.Errorf("%+v", r)
				}
			default:
				if r := j.down(); r.Decision != "discard" || r.outcomes() != "lost" {
					t.Errorf("%+v", r)
				}
			}
			j.nothingLeft()
		})
	}
}

// Told to stop by anybody but down, the supervisor ends its builder and keeps
// nothing; down finds its report.
func TestSupervisorIsTerminated(t *testing.T) {
	j := newJob(t)
	j.upNamed("sticky")
	j.mustBuild()
	kill(t, j.status("sticky").SupervisorPid, syscall.SIGTERM)
	j.eventually("the supervisor ends", func() bool { return j.status("sticky").State == "ended" })
	if r := j.down(); r.Decision != "discard" || !r.CleanShutdown || !strings.Contains(r.Reason, "signal") {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

func interrupted(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == 130
}

func TestInterrupt(t *testing.T) {
	j := newJob(t)
	// A daemon that never gets ready, and has a child.
	slow := filepath.Join(t.TempDir(), "buildkitd")
	if err := os.WriteFile(slow, []byte("#!/bin/sh\nsleep 300 &\nwait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := j.cmd("docker-stickybuilder", "up", "--disk", "dir:"+j.pool, "--buildkitd", slow)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	j.eventually("the daemon is started", func() bool { return len(j.up()) == 1 && j.status("sticky").BuildkitdPid != 0 })
	kill(t, cmd.Process.Pid, syscall.SIGINT)
	if err := cmd.Wait(); !interrupted(err) {
		t.Errorf("up: %v", err)
	}
	j.nothingLeft()

	// down waits for a build; the supervisor goes on without it, and another
	// down gets the report.
	j.upNamed("sticky")
	j.slowBuild()
	cmd = j.cmd("docker-stickybuilder", "down", "--drain-timeout", "3s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	j.eventually("draining", func() bool { return j.status("sticky").State == "draining" })
	kill(t, cmd.Process.Pid, syscall.SIGINT)
	if err := cmd.Wait(); !interrupted(err) {
		t.Errorf("down: %v", err)
	}
	if r := j.down(); r.Decision != "discard" || r.outcomes() != "lost" {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

func TestFullDisk(t *testing.T) {
	j := newJob(t)
	j.mounted("mkfs.ext4", 96<<20)
	j.upNamed("sticky")
	j.mustBuild()
	head := j.down().Generation
	j.upNamed("sticky")
	if err := j.build("-f", "fill.Dockerfile"); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
	if r := j.down(); r.Decision != "discard" || r.Head != head || r.outcomes() != "failed" {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
	if u := j.upNamed("sticky"); u.Generation != head {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}
