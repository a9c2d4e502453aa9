//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a command under way.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	text strings.Builder
	done chan error
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *process) stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// start runs argv in a process group of its own, as a shell would.
func start(t *testing.T, dir string, argv ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: command(context.Background(), dir, argv...), done: make(chan error, 1)}
	p.cmd.Stderr, p.cmd.Stdout = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	return p
}

// waitFor waits until the command's output has text.
func (p *process) waitFor(text string) {
	p.t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if strings.Contains(p.stderr(), text) {
			return
		}
	}
	p.t.Fatalf("waited for %q in vain:\n%s", text, p.stderr())
}

// wait returns the exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case err := <-p.done:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		return 0
	case <-time.After(time.Minute):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		p.t.Fatalf("the command does not end:\n%s", p.stderr())
		return -1
	}
}

// interrupt does what Ctrl-C in a terminal does: the whole group gets SIGINT.
func (p *process) interrupt() {
	p.t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
}

func TestInterruptedBuild(t *testing.T) {
	leavesNothing(t)
	dir := writeFactory(t, "RUN echo e2e-leak && sleep 300\n")
	b := newBuilder(t, t.TempDir())
	b.up()
	build := start(t, dir, "docker", "stitch", "build", "app", "--builder", b.name)
	build.waitFor("e2e-leak")
	build.interrupt()
	if status := build.wait(); status != 130 {
		t.Errorf("status %d, want 130\n%s", status, build.stderr())
	}
	r := b.down()
	if r.Decision != "discard" || len(r.Builds) != 1 || r.Builds[0].Outcome != "cancelled" {
		t.Errorf("got %+v, want a discard for one cancelled build", r)
	}
}

func TestInterruptedUp(t *testing.T) {
	leavesNothing(t)
	// A buildkitd that never becomes ready.
	slow := filepath.Join(t.TempDir(), "buildkitd")
	if err := os.WriteFile(slow, []byte("#!/bin/sh\ncase $1 in --version) exec "+filepath.Join(bed.tools, "buildkitd")+" --version;; esac\nexec sleep 300\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBuilder(t, t.TempDir())
	up := start(t, "", "docker", "stickybuilder", "up", "--disk", "dir:"+b.pool, "--buildkitd", slow, b.name)
	up.waitFor("buildkitd")
	time.Sleep(time.Second)
	up.interrupt()
	if status := up.wait(); status != 130 {
		t.Errorf("status %d, want 130\n%s", status, up.stderr())
	}
	if r := b.down(); r.Decision != "none" {
		t.Errorf("got %+v, want nothing to do", r)
	}
}
