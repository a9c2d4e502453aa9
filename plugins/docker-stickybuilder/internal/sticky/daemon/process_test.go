package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// start runs a shell script in the place of buildkitd and waits for its first line.
func start(t *testing.T, script string) (*Process, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a mount namespace needs root")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "buildkitd")
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := Start(binary, "some.toml", []string{"PATH=/usr/bin:/bin", "X=1"}, out, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.ID.Signal(unix.SIGKILL); <-p.Ended })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(out.Name())
		if err == nil && strings.Contains(string(b), "\n") {
			return p, string(b)
		}
		if time.Now().After(deadline) {
			t.Fatal("no first line")
		}
	}
}

func TestStart(t *testing.T) {
	p, said := start(t, `echo "$* X=$X $(pwd) $(readlink /proc/self/ns/mnt)"; exec sleep 60`)
	fields := strings.Fields(said)
	if got := strings.Join(fields[:4], " "); got != "--config some.toml X=1 /" {
		t.Errorf("started as %s", said)
	}
	if ns := process.Namespace(p.ID.PID); ns == "" || ns != fields[4] || ns == process.Namespace(os.Getpid()) {
		t.Errorf("mount namespace %s", ns)
	}
	if got := p.Verdict(); got != "running" {
		t.Errorf("verdict %s", got)
	}
}

// The kernel refuses to sync a device without a disk, so that who is told that it was
// done was not let through; and nobody but the daemon is.
func TestSyncsAreIgnored(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("not on this architecture")
	}
	_, said := start(t, `sync /dev/null; a=$?; sync -d /dev/null; b=$?; (sync -f /proc; sync); echo "$a $b $?"; exec sleep 60`)
	if last := said[strings.LastIndex(strings.TrimSpace(said), "\n")+1:]; last != "0 0 0\n" {
		t.Errorf("%q", said)
	}
	device, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	var threads sync.WaitGroup
	for range 50 {
		threads.Go(func() {
			runtime.LockOSThread() // and never unlock: 50 threads
			if err := unix.Fsync(int(device.Fd())); err != unix.EINVAL {
				t.Errorf("this process: %v", err)
			}
		})
	}
	threads.Wait()
}

func TestStartFails(t *testing.T) {
	if _, err := Start(filepath.Join(t.TempDir(), "none"), "", nil, nil, nil); err == nil {
		t.Error("no error")
	}
}

func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   End
	}{
		"in good order": {"trap 'exit 1' TERM; echo; while :; do sleep 0.05; done", Clean},
		"panics":        {"trap 'exit 2' TERM; echo; while :; do sleep 0.05; done", Killed},
		"second signal": {"trap 'trap \"exit 0\" TERM' TERM; echo; while :; do sleep 0.05; done", Clean},
		"stubborn":      {"trap '' TERM; echo; while :; do sleep 0.05; done", Killed},
		"no handler":    {"echo; exec sleep 60", Killed},
		"gone before":   {"echo; kill -9 $$", Crashed},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := start(t, c.script)
			if c.want == Crashed {
				<-p.Ended
			}
			if got, err := p.Stop(t.Context(), 400*time.Millisecond); got != c.want || err != nil {
				t.Errorf("%v, %v; want %v (%s)", got, err, c.want, p.Verdict())
			}
		})
	}
}

func TestReady(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	ended := make(chan struct{})
	if _, _, err := Ready(t.Context(), socket, ended, 50*time.Millisecond); err == nil || !strings.Contains(fault.HintOf(err), "--ready-timeout") {
		t.Errorf("%v (hint %q)", err, fault.HintOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Ready(ctx, socket, ended, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	close(ended)
	if _, _, err := Ready(t.Context(), socket, ended, time.Minute); err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Errorf("%v", err)
	}
}
