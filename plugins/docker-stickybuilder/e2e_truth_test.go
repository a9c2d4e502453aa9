package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
)

// truths is what each kind of build is, and what makes of it each policy but auto and
// never.
var truths = []struct {
	name     string
	do       func(*job)
	outcomes string // in the order of the alphabet
	commit   string // policies that do
}{
	{"a build that succeeds", func(j *job) { j.mustBuild() }, "ok", "all-ok any-ok no-crash always"},
	{"a RUN that fails", func(j *job) { j.mustFail("-f", "fail.Dockerfile") }, "failed", "no-crash always"},
	{"a bad Dockerfile", func(j *job) {
		j.write("bad.Dockerfile", "FROM scratch\nCOPPY tool /\n")
		j.mustFail("-f", "bad.Dockerfile")
	}, "failed", "no-crash always"},
	{"a missing Dockerfile", func(j *job) { j.mustFail("-f", "none.Dockerfile") }, "failed", "no-crash always"},
	{"a push to a registry that is down", func(j *job) { j.mustFail("--output", "type=image,name=127.0.0.1:1/x,push=true") }, "failed", "no-crash always"},
	{"an export to a directory that cannot be written", func(j *job) { j.mustFail("--output", "type=local,dest=/proc/1/none") }, "failed", "no-crash always"},
	{"a client that is interrupted", func(j *job) { j.endClient(syscall.SIGINT) }, "cancelled", "no-crash always"},
	{"a client that is killed", func(j *job) { j.endClient(syscall.SIGKILL) }, "cancelled", "no-crash always"},
	{"a daemon that is killed in a build", func(j *job) { j.endDaemon(syscall.SIGKILL, "slow.Dockerfile") }, "lost", "always"},
	{"a daemon that is terminated in a build", func(j *job) { j.endDaemon(syscall.SIGTERM, "short.Dockerfile") }, "ok", "any-ok always"},
	{"bake, all targets succeed", func(j *job) { j.bake(true, "web", "docs") }, "ok ok", "all-ok any-ok no-crash always"},
	{"bake, one target fails and its sibling is cancelled", func(j *job) { j.bake(false, "slow", "worker") }, "cancelled failed", "no-crash always"},
	{"bake, only the definition is printed", func(j *job) { j.bake(true, "--print", "web", "worker") }, "", "always"},
	{"bake, the definition is read from a URL", func(j *job) {
		served := httptest.NewServer(http.FileServer(http.Dir(j.src)))
		defer served.Close()
		if out, err := j.run(j.buildx, "bake", "--print", served.URL+"/docker-bake.hcl"); err != nil || !strings.Contains(out, "worker") {
			j.t.Errorf("%v: %s", err, out)
		}
	}, "", "always"},
	{"a check that builds nothing", func(j *job) {
		if _, err := j.run(j.buildx, "build", "--call=check", "."); err != nil {
			j.t.Error(err)
		}
	}, "", "always"},
	{"docker build with BUILDX_BUILDER", func(j *job) { j.docker(nil, "build", ".") }, "ok", "all-ok any-ok no-crash always"},
	{"docker compose build", func(j *job) {
		j.write("compose.yaml", "name: truth\nservices:\n  web: {build: .}\n  docs: {build: {dockerfile: short.Dockerfile}}\n")
		engine := "DOCKER_HOST=" + os.Getenv("DOCKERFACTORY_DOCKER_HOST") // compose loads what it builds
		j.docker([]string{engine}, "compose", "build")
		j.docker([]string{engine}, "rmi", "truth-web", "truth-docs")
	}, "ok ok", "all-ok any-ok no-crash always"},
	{"buildctl, it succeeds", func(j *job) {
		if err := j.buildctl("Dockerfile"); err != nil {
			j.t.Error(err)
		}
	}, "ok", "all-ok any-ok no-crash always"},
	{"buildctl, it fails", func(j *job) {
		if j.buildctl("fail.Dockerfile") == nil {
			j.t.Error("it succeeds")
		}
	}, "failed", "no-crash always"},
	{"two builds at once", func(j *job) {
		errs := make(chan error)
		for _, args := range [][]string{{"--no-cache"}, {"--no-cache", "-f", "short.Dockerfile"}} {
			go func() { errs <- j.build(args...) }()
		}
		for range 2 {
			if err := <-errs; err != nil {
				j.t.Error(err)
			}
		}
	}, "ok ok", "all-ok any-ok no-crash always"},
	{"one build succeeds and another fails", func(j *job) { j.mustBuild(); j.mustFail("-f", "fail.Dockerfile") }, "failed ok", "any-ok no-crash always"},
	{"a RUN with a cache mount fails", func(j *job) {
		j.write("mount.Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN --mount=type=cache,target=/c [\"/tool\",\"exit\",\"3\"]\n")
		j.mustFail("-f", "mount.Dockerfile")
	}, "failed", "no-crash always"},
	{"no build at all", func(*job) {}, "", "always"},
	{"a client deletes the history", func(j *job) {
		j.mustBuild()
		if _, err := j.run(j.buildx, "history", "rm", "--all"); err != nil {
			j.t.Error(err)
		}
	}, "ok", "all-ok any-ok no-crash always"},
	{"a build goes on beyond the time to drain", func(j *job) { j.slowBuild() }, "lost", "always"},
	{"a frontend that cannot be had", func(j *job) {
		j.write("frontend.Dockerfile", "# syntax=127.0.0.1:1/none\nFROM scratch\n")
		j.mustFail("-f", "frontend.Dockerfile")
	}, "failed", "no-crash always"},
	{"a disk that is full", func(j *job) { j.mustFail("-f", "fill.Dockerfile") }, "failed", "no-crash always"},
}

// Which class each kind of build falls into, and what becomes of the disk.
func TestTruthTable(t *testing.T) {
	if len(truths) < 25 {
		t.Fatalf("%d cases", len(truths))
	}
	shared := newJob(t)
	shared.plain()
	for _, c := range truths {
		t.Run(c.name, func(t *testing.T) {
			j := *shared
			j.t = t
			if strings.Contains(c.name, "disk that is full") {
				j.mounted("mkfs.ext4", 96<<20)
			}
			j.write("short.Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN [\"/tool\",\"sleep\",\"2\"]\n")
			j.write("docker-bake.hcl", `target "web" {}
target "docs" { dockerfile = "short.Dockerfile" }
target "slow" { dockerfile = "slow.Dockerfile" }
target "worker" { dockerfile = "late.Dockerfile" }
group "default" { targets = ["web", "worker"] }
`)
			j.write("late.Dockerfile", "FROM scratch\nCOPY tool /tool\nRUN [\"/tool\",\"sleep\",\"1\"]\nRUN [\"/tool\",\"exit\",\"7\"]\n")
			j.upNamed("sticky")
			c.do(&j)
			var r struct {
				report
				Crash   string
				Summary disk.Tally
			}
			j.sticky(&r, "down", "--drain-timeout", "2s")
			outcomes := strings.Fields(r.outcomes())
			slices.Sort(outcomes)
			if got := strings.Join(outcomes, " "); got != c.outcomes {
				t.Errorf("outcomes %q, want %q: %+v", got, c.outcomes, r)
			}
			commits := r.Decision == "commit"
			if want := strings.HasPrefix(c.commit, "all-ok"); commits != want {
				t.Errorf("decision %s, want a commit: %v: %s", r.Decision, want, r.Reason)
			}
			var policies []string
			for _, p := range []history.Policy{history.AllOK, history.AnyOK, history.NoCrash, history.Always} {
				if ok, _ := p.Decide(history.Facts{Builds: r.Summary, Crash: r.Crash}); ok {
					policies = append(policies, string(p))
				}
			}
			if got := strings.Join(policies, " "); got != c.commit {
				t.Errorf("committed by %q, want %q: %+v", got, c.commit, r)
			}
			t.Logf("| %-52s | %-16s | %-31s |", c.name, strings.Join(outcomes, " "), strings.Join(policies, " "))
			j.nothingLeft()
		})
	}
}

func (j *job) mustFail(args ...string) {
	j.t.Helper()
	if j.build(args...) == nil {
		j.t.Errorf("%v succeeds", args)
	}
}

func (j *job) endClient(sig syscall.Signal) {
	j.t.Helper()
	client := j.slowBuild()
	kill(j.t, client.Process.Pid, sig)
	if client.Wait() == nil {
		j.t.Error("the build succeeds")
	}
}

// endDaemon ends the daemon in a build, and waits until both have ended.
func (j *job) endDaemon(sig syscall.Signal, dockerfile string) {
	j.t.Helper()
	client := j.cmd(j.buildx, "build", "--no-cache", "-f", dockerfile, ".")
	if err := client.Start(); err != nil {
		j.t.Fatal(err)
	}
	j.eventually("the RUN step goes on", func() bool { return len(j.inCgroup()) > 0 })
	kill(j.t, j.status("sticky").BuildkitdPid, sig)
	j.eventually("the supervisor notices", func() bool { return j.status("sticky").State == "crashed" })
	time.AfterFunc(5*time.Second, func() { _ = client.Process.Kill() })
	_ = client.Wait()
}

func (j *job) bake(succeeds bool, args ...string) {
	j.t.Helper()
	if _, err := j.run(j.buildx, append([]string{"bake", "--no-cache"}, args...)...); (err == nil) != succeeds {
		j.t.Errorf("bake %v: %v", args, err)
	}
}

// docker runs docker itself, which finds buildx and compose among its plugins.
func (j *job) docker(env []string, args ...string) {
	j.t.Helper()
	client := os.Getenv("DOCKERFACTORY_DOCKER")
	if client == "" {
		var err error
		if client, err = exec.LookPath("docker"); err != nil {
			j.t.Fatal(err)
		}
	}
	plugins := filepath.Join(filepath.Dir(j.src), "docker", "cli-plugins")
	if err := os.MkdirAll(plugins, 0o700); err != nil {
		j.t.Fatal(err)
	}
	for name, tool := range map[string]string{"docker-buildx": j.buildx, "docker-compose": filepath.Join(filepath.Dir(j.buildx), "docker-compose")} {
		if err := os.Symlink(tool, filepath.Join(plugins, name)); err != nil && !os.IsExist(err) {
			j.t.Fatal(err)
		}
	}
	cmd := j.cmd(client, args...)
	cmd.Env = append(append(cmd.Env, "BUILDX_BUILDER=sticky"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		j.t.Errorf("docker %v: %v\n%s", args, err, out)
	}
}

func (j *job) buildctl(dockerfile string) error {
	j.t.Helper()
	out, err := j.run("docker-stickybuilder", "status", "sticky", "--format", "{{.Endpoint}}")
	if err != nil {
		j.t.Fatal(err)
	}
	_, err = j.run("buildctl", "--addr", strings.TrimSpace(out), "build", "--frontend", "dockerfile.v0",
		"--local", "context=.", "--local", "dockerfile=.", "--opt", "filename="+dockerfile)
	return err
}
