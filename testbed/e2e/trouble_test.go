//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deadRegistry is the address of a registry that was just switched off.
func deadRegistry(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// pushed builds a small image and returns its reference.
func pushed(t *testing.T, b *builder, text string) string {
	t.Helper()
	ref := repository(t) + ":1.0"
	must(t, writeFactory(t, text), "docker", "stitch", "build", "app", "--builder", b.name, "--push", "-t", ref)
	return ref
}

// suite writes a suite with one command and returns its path.
func suite(t *testing.T, run string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "suite.yaml")
	text := "name: smoke\ntimeout: 5m\ncommands:\n  - name: one\n    run: " + run + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// full returns a directory on a filesystem of its own that has no space left.
func full(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, "", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", dir)
	t.Cleanup(func() { must(t, "", "umount", dir) })
	must(t, "", "sh", "-c", "head -c 65536 /dev/zero > "+dir+"/ballast; true")
	return dir
}

func TestRegistryDown(t *testing.T) {
	leavesNothing(t)
	b := newBuilder(t, t.TempDir())
	b.up()
	dead := deadRegistry(t) + "/app:1"
	dir := writeFactory(t, "RUN echo done > /result\n")
	contains(t, fails(t, 1, dir, "docker", "stitch", "build", "app", "--builder", b.name, "--push", "-t", dead), "connection refused")
	contains(t, fails(t, 1, dir, "docker", "stitch", "verify", dead), "connection refused", "hint: is the registry")
	contains(t, fails(t, 1, dir, "docker", "evidence", "run", dead, "--suite", suite(t, "'true'"), "--builder", b.name), "connection refused", "hint: is the registry")
	contains(t, fails(t, 1, dir, "docker", "repack", dead, repository(t)+":x"), "connection refused", "hint: is the registry")
	contains(t, fails(t, 1, dir, "docker", "repack", pushed(t, b, "RUN echo done > /result\n"), dead), "connection refused", "can be written", "hint: is the registry")
	// A push that failed is a build that failed.
	if r := b.down(); r.Decision != "discard" {
		t.Errorf("got %+v, want a discard", r)
	}
}

func TestFullDiskElsewhere(t *testing.T) {
	leavesNothing(t)
	b := newBuilder(t, t.TempDir())
	b.up()
	ref := pushed(t, b, "RUN echo done > /result\n")
	target := repository(t) + ":x"
	contains(t, fails(t, 1, "", "docker", "repack", ref, target, "--tmpdir", full(t)), "no space left on device", "hint: ")
	contains(t, fails(t, 1, "", "docker", "repack", "verify", ref, target), "hint: ") // nothing has that name
	records := full(t)
	contains(t, fails(t, 1, "", "docker", "evidence", "run", ref, "--suite", suite(t, "'true'"), "--builder", b.name,
		"--base", "debian@sha256:"+strings.Repeat("a", 64), "--record-dir", records), "no space left on device")
	if left, _ := filepath.Glob(records + "/*"); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	dir := writeFactory(t, "RUN true\n")
	out := filepath.Join(full(t), "Dockerfile")
	contains(t, fails(t, 1, dir, "docker", "stitch", "render", "app", "-o", out), "no space left on device")
	if _, err := os.Stat(out); err == nil {
		t.Errorf("%s is there", out)
	}
}

func TestFailingTestsAreANegativeAnswer(t *testing.T) {
	leavesNothing(t)
	b := newBuilder(t, t.TempDir())
	b.up()
	ref := pushed(t, b, "RUN echo done > /result\n")
	keys := filepath.Join(t.TempDir(), "evidence")
	must(t, "", "docker", "evidence", "key", "generate", "--output-prefix", keys)
	fails(t, 3, "", "docker", "evidence", "run", ref, "--suite", suite(t, "'cat /nonexistent'"), "--builder", b.name, "--key", keys+".key")
	contains(t, fails(t, 3, "", "docker", "evidence", "verify", ref, "--key", keys+".pub"), "fail")
	must(t, "", "docker", "evidence", "verify", ref, "--key", keys+".pub", "--status", "fail")

	other := pushed(t, b, "RUN echo other > /result\n")
	contains(t, must(t, "", "docker", "repack", "verify", ref, ref), "equal")
	r := try(t, "", "docker", "repack", "verify", ref, other)
	if r.status != 3 {
		t.Errorf("status %d, want 3", r.status)
	}
	contains(t, r.stdout+r.stderr, "result")
}

func TestInterruptedEvidence(t *testing.T) {
	leavesNothing(t)
	b := newBuilder(t, t.TempDir())
	b.up()
	ref := pushed(t, b, "RUN echo done > /result\n")
	for i, runner := range []string{"buildkit", "docker"} {
		records := t.TempDir()
		sleep := fmt.Sprintf("sleep 300.%d%d", os.Getpid(), i) // nobody else's
		run := start(t, "", "docker", "evidence", "run", ref, "--suite", suite(t, "'echo e2e-leak; "+sleep+"'"), "--runner", runner,
			"--builder", b.name, "--record-dir", records)
		waitForProcess(t, sleep)
		run.interrupt()
		if status := run.wait(); status != 130 {
			t.Errorf("%s: status %d, want 130\n%s", runner, status, run.stderr())
		}
		if left, _ := filepath.Glob(records + "/*"); len(left) > 0 {
			t.Errorf("%s: left behind: %v", runner, left)
		}
	}
	if ids := must(t, "", "docker", "ps", "-aq", "--filter", "ancestor="+ref); ids != "" {
		t.Errorf("containers left behind: %s", ids)
	}
}

// waitForProcess waits until a process runs whose command line has text.
func waitForProcess(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, p := range procs {
			line, err := os.ReadFile(p)
			if err == nil && strings.HasPrefix(strings.ReplaceAll(string(line), "\x00", " "), text) {
				return
			}
		}
	}
	t.Fatalf("no process %q", text)
}

func TestInterruptedRepack(t *testing.T) {
	leavesNothing(t)
	b := newBuilder(t, t.TempDir())
	b.up()
	ref := pushed(t, b, "RUN head -c 150000000 /dev/urandom > /noise\n")
	target := repository(t) + ":x"
	tmp := t.TempDir()
	repack := start(t, "", "docker", "repack", ref, target, "--compression-level", "max", "--tmpdir", tmp)
	repack.waitFor("layer")
	time.Sleep(500 * time.Millisecond)
	repack.interrupt()
	if status := repack.wait(); status != 130 {
		t.Errorf("status %d, want 130\n%s", status, repack.stderr())
	}
	if left, _ := filepath.Glob(tmp + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	fails(t, 1, "", "docker", "repack", "verify", ref, target) // nothing has that name
}
