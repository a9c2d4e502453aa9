package main

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Who is killed, and in what.
var (
	victims = []string{"daemon", "supervisor", "group"}
	moments = []string{"build", "commit", "down", "up"}
)

// Again and again, whoever is killed and whenever: never a bad head, never anything
// left, and the next job is warm. STICKY_KILLS says how often.
func TestKilledManyTimes(t *testing.T) {
	j := newJob(t)
	j.upNamed("sticky")
	j.mustBuild()
	j.down()
	decisions := map[string]map[string]int{}
	cold := 0
	for i := range counted(t, 2*len(victims), "STICKY_KILLS") {
		victim, moment := victims[i%len(victims)], moments[i/len(victims)%len(moments)]
		delay := time.Duration(rand.New(rand.NewPCG(1, uint64(i))).IntN(400)) * time.Millisecond //nolint:gosec // to be the same each time
		if moment == "up" {
			j.killedUp(victim, delay)
		} else {
			u := j.upNamed("sticky")
			j.mustBuild()
			if s := j.status("sticky"); u.Cache != "warm" || s.Builds[0].CachedSteps != 3 {
				cold++
			}
			j.killed(victim, moment, delay, i)
		}
		r := j.down("--drain-timeout", "0s")
		where := victim + " in " + moment
		if decisions[where] == nil {
			decisions[where] = map[string]int{}
		}
		decisions[where][r.Decision]++
		if r.Decision == "commit" && moment != "down" && r.Head != r.Generation {
			t.Errorf("round %d, %s: %+v", i, where, r)
		}
		if r.Decision == "none" {
			// The builder had ended, and the supervisor was killed while it took apart what was
			// removed: that is left to the next builder, or to this.
			if _, err := j.run("docker-stickybuilder", "disk", "gc", "--disk", "dir:"+j.pool); err != nil {
				t.Error(err)
			}
		}
		j.nothingLeft()
		j.sound()
		if t.Failed() {
			t.Fatalf("round %d: %s after %s: %+v", i, where, delay, r)
		}
	}
	if cold > 0 {
		t.Errorf("%d jobs were cold", cold)
	}
	if u := j.upNamed("sticky"); u.Cache != "warm" {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	for _, v := range victims {
		for _, m := range moments {
			if n := decisions[v+" in "+m]; n != nil {
				t.Logf("%-20s %v", v+" in "+m, n)
			}
		}
	}
}

// killed kills in the middle of a build alone, or also of a commit or a down.
func (j *job) killed(victim, moment string, delay time.Duration, i int) {
	j.t.Helper()
	s := j.status("sticky")
	client := j.cmd(j.buildx, "build", "--no-cache", ".", "--build-arg", "I="+strconv.Itoa(i))
	if err := client.Start(); err != nil {
		j.t.Fatal(err)
	}
	var command *exec.Cmd
	switch moment {
	case "commit":
		command = j.cmd("docker-stickybuilder", "commit")
	case "down":
		command = j.cmd("docker-stickybuilder", "down", "--commit", "any-ok", "--drain-timeout", "100ms")
	}
	if command != nil {
		if err := command.Start(); err != nil {
			j.t.Fatal(err)
		}
	}
	time.Sleep(delay)
	// It may have ended by itself, by down.
	pids := map[string][]int{"daemon": {s.BuildkitdPid}, "supervisor": {s.SupervisorPid}, "group": {s.SupervisorPid, s.BuildkitdPid}}[victim]
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if victim == "group" {
		for _, pid := range j.inCgroup() {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
		if command != nil {
			_ = command.Process.Kill()
		}
	}
	if command != nil {
		_ = command.Wait()
	}
	_ = client.Process.Kill() // buildx would go on trying to connect
	_ = client.Wait()
}

// killedUp kills an up, and what it has started by then.
func (j *job) killedUp(victim string, delay time.Duration) {
	j.t.Helper()
	up := j.cmd("docker-stickybuilder", "up", "--disk", "dir:"+j.pool, "--key", "k")
	if err := up.Start(); err != nil {
		j.t.Fatal(err)
	}
	time.Sleep(delay)
	if victim == "group" {
		_ = up.Process.Kill()
	}
	if len(j.up()) == 1 {
		s := j.status("sticky")
		if s.BuildkitdPid > 1 && victim != "supervisor" {
			_ = syscall.Kill(s.BuildkitdPid, syscall.SIGKILL)
		}
		if s.SupervisorPid > 1 && victim != "daemon" {
			_ = syscall.Kill(s.SupervisorPid, syscall.SIGKILL)
		}
	}
	err := up.Wait()
	if text := fmt.Sprint(err); err != nil && !strings.Contains(text, "killed") && !strings.Contains(text, "exit status 1") {
		j.t.Errorf("up: %v", err)
	}
}
