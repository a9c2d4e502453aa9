//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// upResult and downReport are the parts of the commands' JSON that scenarios use.
type upResult struct {
	Cache  string `json:"cache"`      // "warm" or "cold"
	Parent string `json:"generation"` // that the clone was made of
}

type downReport struct {
	Decision   string `json:"decision"`
	Reason     string `json:"reason"`
	Generation string `json:"generation"`
	Builds     []struct {
		Outcome     string `json:"outcome"`
		CachedSteps int    `json:"cachedSteps"`
		TotalSteps  int    `json:"totalSteps"`
	} `json:"builds"`
}

// A builder is one that the test brought up, on a pool of its own.
type builder struct {
	t    *testing.T
	name string
	pool string
}

// builderPrefix begins the names of all builders of this run.
func builderPrefix() string { return fmt.Sprintf("e2e-%d-", os.Getpid()) }

func newBuilder(t *testing.T, pool string) *builder {
	t.Helper()
	b := &builder{t: t, name: builderPrefix() + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")), pool: pool}
	t.Cleanup(func() { must(t, "", "docker", "stickybuilder", "down", "--commit", "never", b.name) })
	return b
}

func (b *builder) up() upResult {
	b.t.Helper()
	var r upResult
	mustJSON(b.t, &r, "", "docker", "stickybuilder", "up", "--disk", "dir:"+b.pool, "--key", "e2e", "--config", bed.buildkitd, b.name)
	return r
}

func (b *builder) down() downReport {
	b.t.Helper()
	var r downReport
	mustJSON(b.t, &r, "", "docker", "stickybuilder", "down", b.name)
	return r
}

func (b *builder) build(dir string) string {
	b.t.Helper()
	return must(b.t, dir, "docker", "stitch", "build", "app", "--builder", b.name)
}

// daemon returns the process id of the builder's buildkitd.
func (b *builder) daemon() int {
	b.t.Helper()
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		line, err := os.ReadFile(p)
		text := string(line)
		if err == nil && strings.Contains(filepath.Base(strings.SplitN(text, "\x00", 2)[0]), "buildkitd") && strings.Contains(text, b.name) {
			var pid int
			if _, err := fmt.Sscanf(p, "/proc/%d/cmdline", &pid); err == nil {
				return pid
			}
		}
	}
	b.t.Fatal("the builder has no buildkitd")
	return 0
}

func TestWarmDiskInTheNextJob(t *testing.T) {
	leavesNothing(t)
	dir := writeFactory(t, "RUN head -c 1000000 /dev/urandom > /noise\nRUN echo done > /result\n")
	b := newBuilder(t, t.TempDir())

	if r := b.up(); r.Cache != "cold" {
		t.Error("the first job cannot be warm")
	}
	b.build(dir)
	first := b.down()
	if first.Decision != "commit" || first.Generation == "" {
		t.Fatalf("got %+v, want a commit", first)
	}
	if r := b.up(); r.Cache != "warm" {
		t.Error("the second job must be warm")
	}
	b.build(dir)
	second := b.down()
	if len(second.Builds) != 1 || second.Builds[0].TotalSteps == 0 || second.Builds[0].CachedSteps != second.Builds[0].TotalSteps {
		t.Errorf("got %+v, want every step cached", second.Builds)
	}
}

func TestFailedBuildLeavesTheHead(t *testing.T) {
	leavesNothing(t)
	dir := writeFactory(t, "RUN echo done > /result\n")
	b := newBuilder(t, t.TempDir())
	b.up()
	b.build(dir)
	head := b.down().Generation

	b.up()
	rewriteFragment(t, dir, "RUN echo one > /result\nRUN echo giving up && exit 7\n")
	stderr := fails(t, 1, dir, "docker", "stitch", "build", "app", "--builder", b.name)
	contains(t, stderr, "Dockerfile.fragment:2", "exit code: 7", "giving up")
	r := b.down()
	if r.Decision != "discard" || len(r.Builds) != 1 || r.Builds[0].Outcome != "failed" {
		t.Errorf("got %+v, want a discard for one failed build", r)
	}
	if got := b.head(); got != head {
		t.Errorf("the head moved from %s to %s", head, got)
	}
}

// head returns the generation that the next job would get.
func (b *builder) head() string {
	b.t.Helper()
	var r upResult
	mustJSON(b.t, &r, "", "docker", "stickybuilder", "up", "--disk", "dir:"+b.pool, "--key", "e2e", "--read-only", "--config", bed.buildkitd, b.name)
	must(b.t, "", "docker", "stickybuilder", "down", b.name)
	return r.Parent
}

func TestKilledDaemonIsALostBuild(t *testing.T) {
	leavesNothing(t)
	dir := writeFactory(t, "RUN echo done > /result\n")
	b := newBuilder(t, t.TempDir())
	b.up()
	b.build(dir)
	head := b.down().Generation

	b.up()
	rewriteFragment(t, dir, "RUN echo e2e-leak && sleep 300\n")
	build := start(t, dir, "docker", "stitch", "build", "app", "--builder", b.name)
	build.waitFor("e2e-leak")
	must(t, "", "kill", "-9", fmt.Sprint(b.daemon()))
	if status := build.wait(); status != 1 {
		t.Errorf("the build exited with status %d, want 1\n%s", status, build.stderr())
	}
	r := b.down()
	if r.Decision != "discard" || len(r.Builds) != 1 || r.Builds[0].Outcome != "lost" {
		t.Errorf("got %+v, want a discard for one lost build", r)
	}
	if got := b.head(); got != head {
		t.Errorf("the head moved from %s to %s", head, got)
	}
}

func TestFullDiskLeavesTheHead(t *testing.T) {
	leavesNothing(t)
	// A file system of its own, small enough to fill.
	pool := t.TempDir()
	img := filepath.Join(t.TempDir(), "pool.img")
	must(t, "", "truncate", "-s", "1200M", img)
	must(t, "", "mkfs.xfs", "-q", "-m", "reflink=1", img)
	must(t, "", "mount", "-o", "loop", img, pool)
	t.Cleanup(func() { must(t, "", "umount", pool) })

	dir := writeFactory(t, "RUN echo done > /result\n")
	b := newBuilder(t, pool)
	b.up()
	b.build(dir)
	head := b.down().Generation
	if head == "" {
		t.Fatal("the first job must commit")
	}
	b.up()
	rewriteFragment(t, dir, "RUN head -c 3000000000 /dev/zero > /too-large\n")
	contains(t, fails(t, 1, dir, "docker", "stitch", "build", "app", "--builder", b.name), "No space left on device")
	if r := b.down(); r.Decision != "discard" {
		t.Errorf("got %+v, want a discard", r)
	}
	if got := b.head(); got != head {
		t.Errorf("the head moved from %s to %s", head, got)
	}
}

func TestForeignBuilderIsRefusedAndTheCurrentOneRestored(t *testing.T) {
	leavesNothing(t)
	foreign := fmt.Sprintf("foreign%d", os.Getpid())
	must(t, "", "docker", "buildx", "create", "--driver", "remote", "--name", foreign, "--use", "unix:///nonexistent.sock")
	defer must(t, "", "docker", "buildx", "rm", foreign)

	contains(t, fails(t, 1, "", "docker", "stickybuilder", "up", foreign), foreign, "hint:")
	b := newBuilder(t, t.TempDir())
	b.up()
	contains(t, must(t, "", "docker", "buildx", "inspect"), b.name)
	b.down()
	contains(t, must(t, "", "docker", "buildx", "ls"), foreign+"*")
}

func TestOtherClientsUseTheBuilderUnchanged(t *testing.T) {
	leavesNothing(t)
	dir := writeFactory(t, "RUN echo done > /result\n")
	b := newBuilder(t, t.TempDir())
	b.up()
	must(t, dir, "docker", "stitch", "render", "app", "-o", "Dockerfile")
	must(t, dir, "docker", "buildx", "build", "--output", "type=cacheonly", ".")
	build := exec.Command("docker", "build", "--output", "type=cacheonly", ".")
	build.Dir, build.Env = dir, append(environment(), "BUILDX_BUILDER="+b.name)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("docker build: %v\n%s", err, out)
	}
	r := b.down()
	if len(r.Builds) != 2 || r.Decision != "commit" {
		t.Errorf("got %+v, want two builds seen and a commit", r)
	}
	must(t, dir, "docker", "stitch", "verify", "Dockerfile")
}
