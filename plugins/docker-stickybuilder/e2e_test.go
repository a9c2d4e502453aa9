package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestSecondJobIsWarm(t *testing.T) {
	j := newJob(t)
	if u := j.upNamed("sticky"); u.State != "started" || u.Cache != "cold" || u.Generation != "" {
		t.Errorf("%+v", u)
	}
	if u := j.upNamed("sticky"); u.State != "running" {
		t.Errorf("a second up: %+v", u)
	}
	if _, err := j.run("docker-stickybuilder", "up", "--key", "other"); err == nil || !strings.Contains(err.Error(), "it is up already, with key k") {
		t.Errorf("an up with another key: %v", err)
	}
	j.mustBuild()
	if s := j.status("sticky"); s.State != "ready" || len(s.Builds) != 1 || s.Builds[0].Outcome != "ok" {
		t.Errorf("%+v", s)
	}
	first := j.down()
	if first.Decision != "commit" || first.Generation == "" || first.Head != first.Generation || !first.CleanShutdown || first.outcomes() != "ok" || first.Builds[0].CachedSteps != 0 {
		t.Errorf("%+v", first)
	}
	if first.Builds[0].Name != "src" {
		t.Errorf("name %q", first.Builds[0].Name)
	}
	j.nothingLeft()

	if u := j.upNamed("sticky"); u.Cache != "warm" || u.Generation != first.Generation {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	j.mustBuild("--no-cache-filter", "stage-0") // the cache mount has come along too
	second := j.down()
	if second.Decision != "commit" || second.Parent != first.Generation || len(second.Builds) != 2 || second.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", second)
	}
	if r := j.down(); r.Decision != "none" {
		t.Errorf("a second down: %+v", r)
	}
	j.nothingLeft()
}

// Which class each kind of build falls into, and what becomes of the disk.
func TestOutcomes(t *testing.T) {
	j := newJob(t)
	j.upNamed("sticky")
	j.mustBuild()
	head := j.down().Generation

	j.upNamed("sticky")
	if err := j.build("-f", "fail.Dockerfile"); err == nil {
		t.Error("a RUN that fails")
	}
	if err := j.build("-f", "none.Dockerfile"); err == nil {
		t.Error("a missing Dockerfile")
	}
	if err := j.build("--output", "type=image,name=127.0.0.1:1/x,push=true"); err == nil {
		t.Error("a push to a registry that is down")
	}
	client := j.slowBuild()
	kill(t, client.Process.Pid, syscall.SIGKILL)
	_ = client.Wait()
	r := j.down()
	if r.Decision != "discard" || r.Head != head || r.outcomes() != "failed failed failed cancelled" {
		t.Errorf("%s: %+v", r.outcomes(), r)
	}
	j.nothingLeft()

	// bake cancels the siblings of a target that fails.
	j.upNamed("sticky")
	if _, err := j.run(j.buildx, "bake"); err == nil {
		t.Error("bake with a target that fails")
	}
	r = j.down("--commit", "no-crash")
	names := map[string]string{}
	for _, b := range r.Builds {
		names[b.Name] = b.Outcome
	}
	if r.Decision != "commit" || names["worker"] != "failed" || (names["web"] != "ok" && names["web"] != "cancelled") {
		t.Errorf("%+v", r)
	}
	head = r.Generation

	j.upNamed("sticky", "--read-only")
	j.mustBuild()
	if r := j.down("--commit", "always"); r.Decision != "discard" || r.Head != head {
		t.Errorf("read-only: %+v", r)
	}
	j.nothingLeft()
}

func TestSideBySide(t *testing.T) {
	j := newJob(t)
	if _, err := j.run(j.buildx, "create", "--name", "mine", "--driver", "remote", "--use", "tcp://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := j.run("docker-stickybuilder", "up", "mine", "--disk", "dir:"+j.pool); err == nil || !strings.Contains(err.Error(), "the name is taken") {
		t.Errorf("somebody else's name: %v", err)
	}
	env := filepath.Join(t.TempDir(), "github")
	outputs := filepath.Join(t.TempDir(), "outputs")
	j.env = append(j.env, "GITHUB_ENV="+env, "GITHUB_OUTPUT="+outputs)
	j.upNamed("a")
	j.upNamed("b", "--no-use")
	inspect := func() string {
		out, _ := j.run(j.buildx, "inspect")
		name, _, _ := strings.Cut(out, "\n")
		return strings.TrimSpace(strings.TrimPrefix(name, "Name:"))
	}
	if got := inspect(); got != "a" {
		t.Errorf("current %q", got)
	}
	j.mustBuild("--builder", "a")
	j.mustBuild("--builder", "b")
	if r := j.down("b"); r.Decision != "commit" || len(r.Builds) != 1 {
		t.Errorf("b: %+v", r)
	}
	if s := j.status("a"); s.State != "ready" {
		t.Errorf("a: %+v", s)
	}
	if r := j.down("a", "--on-conflict", "first"); r.Decision != "conflict" || r.Generation == "" || r.Head == r.Generation {
		t.Errorf("a: %+v", r)
	}
	if got := inspect(); got != "mine" {
		t.Errorf("current %q", got)
	}
	if text, err := os.ReadFile(outputs); err != nil || !strings.HasPrefix(string(text), "mode=sticky\nreason=\nname=a\ndriver=process\nendpoint=unix:///") || !strings.Contains(string(text), "\ncache=cold\n") {
		t.Errorf("outputs %q, %v", text, err)
	}
	if text, err := os.ReadFile(env); err != nil || string(text) != "BUILDX_BUILDER=a\nBUILDX_BUILDER=\n" {
		t.Errorf("environment %q, %v", text, err)
	}
	if _, err := j.run(j.buildx, "rm", "mine"); err != nil {
		t.Fatal(err)
	}
	j.nothingLeft()
}

func TestCopyOnWritePools(t *testing.T) {
	for mkfs, method := range map[string]string{"mkfs.btrfs": "snapshot", "mkfs.xfs": "reflink"} {
		t.Run(mkfs, func(t *testing.T) {
			j := newJob(t)
			j.mounted(mkfs, 512<<20)
			j.upNamed("sticky")
			j.mustBuild()
			head := j.down().Generation
			var u struct {
				Generation string
				Clone      struct {
					Method string
					Bytes  int64
				}
			}
			j.sticky(&u, "up", "--disk", "dir:"+j.pool, "--key", "k")
			if u.Clone.Method != method || u.Clone.Bytes != 0 || u.Generation != head {
				t.Errorf("%+v", u)
			}
			j.mustBuild()
			if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
				t.Errorf("%+v", r)
			}
			j.nothingLeft()
		})
	}
}
