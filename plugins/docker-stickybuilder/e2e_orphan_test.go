package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runner starts a script below a process that is called as GitHub's runner is, and
// returns that process. The script is in a session of its own, as one that outlives
// the runner's end.
func (j *job) runner(script string) *exec.Cmd {
	j.t.Helper()
	shell, err := exec.LookPath("bash")
	if err != nil {
		j.t.Fatal(err)
	}
	worker := filepath.Join(j.t.TempDir(), "Runner.Worker")
	if err := os.Symlink(shell, worker); err != nil {
		j.t.Fatal(err)
	}
	// The worker waits for its step, and for what follows.
	cmd := j.cmd(worker, "-c", "bash -c "+strconv.Quote(script)+"; sleep 300; :")
	cmd.Env = append(cmd.Env, "BUILDX="+j.buildx)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.CreateTemp(j.t.TempDir(), "log")
	if err != nil {
		j.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(func() {
		log.Close()
		if j.t.Failed() {
			b, _ := os.ReadFile(log.Name())
			j.t.Logf("the runner's log:\n%s", b)
		}
	})
	return cmd
}

func (j *job) upCommand() string {
	return "docker-stickybuilder up sticky --disk dir:" + j.pool + " --key k"
}

// The runner dies after a build; its disk is committed without a down.
func TestRunnerDies(t *testing.T) {
	j := newJob(t)
	cmd := j.runner(j.upCommand() + " && $BUILDX build . && touch built")
	j.eventually("the build is done", func() bool { _, err := os.Stat(filepath.Join(j.src, "built")); return err == nil })
	var s struct {
		Lease struct {
			PID          int
			Name, Policy string
			Alive        bool
			DrainSeconds float64
		}
	}
	if j.sticky(&s, "status", "sticky"); s.Lease.PID != cmd.Process.Pid || s.Lease.Name != "Runner.Worker" || !s.Lease.Alive || s.Lease.Policy != "auto" || s.Lease.DrainSeconds != 30 {
		t.Errorf("%+v", s)
	}
	if out, err := j.run("docker-stickybuilder", "status", "sticky"); err != nil || !strings.Contains(out, fmt.Sprintf("Runner.Worker, process %d: at its end, builds get 30s, and then down --commit auto", cmd.Process.Pid)) {
		t.Errorf("%v: %s", err, out)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	j.eventually("the supervisor ends", func() bool { return j.status("sticky").State == "ended" })
	if names, err := os.ReadDir(filepath.Join(filepath.Dir(j.src), "docker/buildx/instances")); err != nil || len(names) != 0 {
		t.Errorf("in the buildx store: %v, %v", names, err)
	}
	var all []report
	j.sticky(&all, "recover")
	if len(all) != 1 || all[0].Decision != "commit" || !strings.Contains(all[0].Reason, "Runner.Worker (process "+strconv.Itoa(cmd.Process.Pid)+") ended without") {
		t.Errorf("%+v", all)
	}
	j.nothingLeft()

	// Nor is a job given the builder of one that has ended a moment ago.
	cmd = j.runner(j.upCommand() + " && touch second")
	j.eventually("the builder is up", func() bool { _, err := os.Stat(filepath.Join(j.src, "second")); return err == nil })
	j.mustBuild()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if u := j.upNamed("sticky"); u.State != "started" || u.Cache != "warm" {
		t.Errorf("%+v", u)
	}
	j.down()
	j.nothingLeft()

	// A shell's end is not the job's.
	if _, err := j.run("bash", "-c", j.upCommand()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if s := j.status("sticky"); s.State != "ready" {
		t.Errorf("%+v", s)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

// Killed at any point, alone or with all that it has started, the runner leaves
// neither a process nor a mount nor a bad head.
func TestRunnerDiesAnywhere(t *testing.T) {
	rounds := 6
	if n, err := strconv.Atoi(os.Getenv("STICKY_RUNNER_KILLS")); err == nil {
		rounds = n
	}
	j := newJob(t)
	j.upNamed("sticky")
	j.mustBuild()
	j.down()
	began := time.Now()
	j.upNamed("sticky")
	j.mustBuild("--no-cache")
	j.down()
	whole := time.Since(began)
	random := rand.New(rand.NewPCG(1, uint64(rounds)))
	for i := range rounds {
		cmd := j.runner(fmt.Sprintf("%s && $BUILDX build --no-cache --build-arg I=%d . && docker-stickybuilder down", j.upCommand(), i))
		time.Sleep(time.Duration(random.Int64N(int64(whole) * 5 / 4)))
		if i%2 == 0 {
			_ = cmd.Process.Kill()
		} else {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		_ = cmd.Wait()
		j.eventually("nothing runs any more", func() bool { return len(j.processes()) == 0 })
		if out, err := j.run("docker-stickybuilder", "recover"); err != nil {
			t.Errorf("round %d: %v: %s", i, err, out)
		}
		j.nothingLeft()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if t.Failed() {
			t.Fatalf("round %d", i)
		}
	}
	if u := j.upNamed("sticky"); u.Cache != "warm" {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}
