package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

type committal struct {
	Decision, Reason, Generation, Head string
	PauseMilliseconds                  int
	Summary                            struct{ OK, Failed, Running int }
}

func (j *job) checkpoint(args ...string) (c committal) {
	j.t.Helper()
	j.sticky(&c, append([]string{"commit"}, args...)...)
	return c
}

// On every kind of pool: what was committed on the way stays although the job fails
// later, builds under way go on, and none stands still for more than a second.
func TestCheckpoint(t *testing.T) {
	for kind, mount := range map[string]func(*job){
		"btrfs":          func(j *job) { j.mounted("mkfs.btrfs", 512<<20) },
		"xfs":            func(j *job) { j.mounted("mkfs.xfs", 512<<20) },
		"a pool in file": func(j *job) { j.onExt4(2 << 30) },
		"plain files":    func(j *job) { j.plain() },
	} {
		t.Run(kind, func(t *testing.T) {
			j := newJob(t)
			mount(j)
			j.write("ticks.Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN [\"/tool\",\"sleep\",\"3\"]\nRUN [\"/tool\",\"write\",\"/late\",\"1000\"]\n")
			j.upNamed("sticky")
			if c := j.checkpoint(); c.Decision != "decline" || c.Reason != "nothing was built" || c.Generation != "" {
				t.Errorf("%+v", c)
			}
			j.mustBuild()
			client := j.cmd(j.buildx, "build", ".", "-f", "ticks.Dockerfile")
			if err := client.Start(); err != nil {
				t.Fatal(err)
			}
			j.eventually("the RUN step goes on", func() bool { return len(j.inCgroup()) > 0 })
			c := j.checkpoint()
			if c.Decision != "commit" || c.Head != c.Generation || c.PauseMilliseconds > 1000 || c.Summary.OK != 1 || c.Summary.Running != 1 {
				t.Errorf("%+v", c)
			}
			t.Logf("builds stood still for %d ms", c.PauseMilliseconds)
			if again := j.checkpoint(); again.Decision != "decline" || !strings.Contains(again.Reason, "nothing was built since the checkpoint "+c.Generation) {
				t.Errorf("%+v", again)
			}
			if err := client.Wait(); err != nil {
				t.Errorf("the build that went on: %v", err)
			}
			second := j.checkpoint()
			if second.Decision != "commit" || second.Generation == c.Generation {
				t.Errorf("%+v", second)
			}
			if err := j.build("-f", "fail.Dockerfile"); err == nil {
				t.Error("a build that fails")
			}
			if c := j.checkpoint(); c.Decision != "decline" {
				t.Errorf("%+v", c)
			}
			r := j.down()
			if r.Decision != "discard" || r.Head != second.Generation {
				t.Errorf("%+v", r)
			}
			j.nothingLeft()

			if u := j.upNamed("sticky"); u.Generation != second.Generation {
				t.Errorf("%+v", u)
			}
			j.mustBuild()
			j.mustBuild("-f", "ticks.Dockerfile")
			r = j.down()
			if r.Decision != "commit" || r.Builds[0].CachedSteps != 3 || r.Builds[1].CachedSteps != 3 {
				t.Errorf("%+v", r)
			}
			j.nothingLeft()
		})
	}
}

// down goes on from the checkpoint, and has nothing to add if nothing was built.
func TestDownAfterACheckpoint(t *testing.T) {
	j := newJob(t)
	j.upNamed("sticky")
	j.mustBuild()
	c := j.checkpoint()
	if r := j.down(); r.Decision != "discard" || r.Head != c.Generation || !strings.Contains(r.Reason, "nothing was built since") {
		t.Errorf("%+v", r)
	}
	j.upNamed("sticky")
	j.mustBuild("--no-cache")
	c = j.checkpoint("--force")
	j.mustBuild("--no-cache")
	if r := j.down(); r.Decision != "commit" || r.Parent != c.Generation || r.Head != r.Generation {
		t.Errorf("%+v", r)
	}
	if _, err := j.run("docker-stickybuilder", "commit"); err == nil || !strings.Contains(err.Error(), "no such builder is up") {
		t.Errorf("without a builder: %v", err)
	}
	j.upNamed("sticky", "--read-only")
	j.mustBuild()
	if c := j.checkpoint("--force"); c.Decision != "decline" || !strings.Contains(c.Reason, "read-only") {
		t.Errorf("%+v", c)
	}
	j.down()
	j.nothingLeft()
}

// Whoever is killed in a checkpoint: the head is what it was before or the checkpoint,
// sound in any case, and nothing is left.
func TestKilledInACheckpoint(t *testing.T) {
	j := newJob(t)
	j.upNamed("sticky")
	j.mustBuild()
	j.down()
	for i := range counted(t, 6, "STICKY_KILLS") {
		j.upNamed("sticky")
		j.mustBuild("--no-cache")
		client := j.slowBuild("--build-arg", "SECONDS="+strconv.Itoa(i))
		s := j.status("sticky")
		cmd := j.cmd("docker-stickybuilder", "commit", "--commit", "any-ok")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i%20) * 15 * time.Millisecond)
		switch i % 3 {
		case 0:
			kill(t, s.SupervisorPid, syscall.SIGKILL)
		case 1:
			kill(t, s.BuildkitdPid, syscall.SIGKILL)
		default:
			_ = syscall.Kill(s.BuildkitdPid, syscall.SIGKILL)
			kill(t, s.SupervisorPid, syscall.SIGKILL)
		}
		_ = cmd.Wait()
		_ = client.Process.Kill()
		_ = client.Wait()
		j.down("--drain-timeout", "0s")
		j.nothingLeft()
		j.sound()
	}
	if u := j.upNamed("sticky"); u.Cache != "warm" {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
}

// sound has the head verified.
func (j *job) sound() {
	j.t.Helper()
	if _, err := j.run("docker-stickybuilder", "disk", "verify", "--disk", "dir:"+j.pool, "--key", "k"); err != nil {
		j.t.Errorf("the head is bad: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(j.state, "docker-stickybuilder", "instances", "*", "*")); err != nil || len(left) > 0 {
		j.t.Errorf("left %v, %v", left, err)
	}
}
