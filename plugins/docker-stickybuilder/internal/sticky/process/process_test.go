package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	const rest = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21"
	for name, c := range map[string]struct {
		in   string
		want stat
		ok   bool
	}{
		"plain":            {"42 (buildkitd) S" + rest, stat{'S', 1, 17, 987654}, true},
		"name with spaces": {"42 (a b) c) Z) R" + rest, stat{'R', 1, 17, 987654}, true},
		"empty":            {"", stat{}, false},
		"cut off":          {"42 (x) S 1 2 3", stat{}, false},
		"no number":        {"42 (x) S x 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20", stat{}, false},
	} {
		got, err := parseStat([]byte(c.in))
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (x) S 1 2 3"))
	f.Add([]byte(")"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseStat(b) })
}

func TestMemberOf(t *testing.T) {
	for _, c := range []struct {
		file string
		want bool
	}{
		{"0::/docker-stickybuilder/a-1/buildkit/x\n", true},
		{"4:memory:/outer/docker-stickybuilder/a-1\n0::/\n", true},
		{"0::/docker-stickybuilder/a-12/buildkit/x\n", false},
		{"0::/\n", false},
		{"garbage", false},
	} {
		if got := memberOf(c.file, "/docker-stickybuilder/a-1"); got != c.want {
			t.Errorf("%q: %v", c.file, got)
		}
	}
}

// run starts a shell command and waits for it in the background, as a parent does.
func run(t *testing.T, script string) ID {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The script says when it has set its traps.
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	return id
}

func TestStop(t *testing.T) {
	ladder := []Rung{{unix.SIGTERM, 300 * time.Millisecond}, {unix.SIGTERM, 300 * time.Millisecond}, {unix.SIGKILL, 5 * time.Second}}
	for name, c := range map[string]struct {
		script string
		want   unix.Signal
	}{
		"obeys":    {"echo; exec sleep 60", unix.SIGTERM},
		"stubborn": {"trap '' TERM; echo; sleep 60 & wait; wait; sleep 60", unix.SIGKILL},
	} {
		t.Run(name, func(t *testing.T) {
			id := run(t, c.script)
			if !id.Alive() || id.Wait(t.Context(), 0) {
				t.Fatal("not alive")
			}
			got, err := id.Stop(t.Context(), ladder...)
			if err != nil || got != c.want {
				t.Errorf("stopped by %v, %v; want %v", got, err, c.want)
			}
			if id.Alive() {
				t.Error("still alive")
			}
			if got, err := id.Stop(t.Context(), ladder...); got != 0 || err != nil {
				t.Errorf("stopping what has ended: %v, %v", got, err)
			}
		})
	}
}

// A recycled pid must never be hit.
func TestOtherProcessOfTheSamePID(t *testing.T) {
	id := run(t, "echo; exec sleep 60")
	defer id.Signal(unix.SIGKILL)
	for name, other := range map[string]ID{
		"other start": {id.PID, id.Start + 1, id.Boot},
		"other boot":  {id.PID, id.Start, "another"},
	} {
		if other.Alive() {
			t.Errorf("%s: taken for alive", name)
		}
		if err := other.Signal(unix.SIGKILL); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !other.Wait(t.Context(), 0) {
			t.Errorf("%s: waited for", name)
		}
	}
	if !id.Alive() {
		t.Error("the wrong process was killed")
	}
	if (ID{}).Alive() || (ID{}).Signal(unix.SIGKILL) != nil {
		t.Error("the zero ID is somebody")
	}
}

func TestWaitIsCancelled(t *testing.T) {
	id := run(t, "echo; exec sleep 60")
	defer id.Signal(unix.SIGKILL)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if id.Wait(ctx, time.Minute) || time.Since(began) > 5*time.Second {
		t.Errorf("waited %s", time.Since(began))
	}
}

func TestHasArg(t *testing.T) {
	for cmdline, want := range map[string]bool{
		"runc\x00--bundle\x00/w/1/root/executor/x\x00": true,
		"runc\x00/w/1/root\x00":                        true,
		"runc\x00/w/1/rooted\x00":                      false,
		"runc\x00--x=/w/1/root/x\x00":                  false,
		"":                                             false,
	} {
		if got := hasArg(cmdline, "/w/1/root"); got != want {
			t.Errorf("%q: %v", cmdline, got)
		}
	}
}

func TestKillUsersSparesThisNamespace(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "tail", "-f", dir+"/x", "/dev/null")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if n := KillUsers(Namespace(os.Getpid()), dir); n != 0 {
		t.Errorf("killed %d", n)
	}
	if n := KillUsers("", dir); n != 0 {
		t.Errorf("killed %d", n)
	}
}

func TestKillUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a mount namespace needs root")
	}
	dir := t.TempDir()
	start := func(args ...string) ID {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { _ = cmd.Wait() }()
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		id, err := Identify(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	user := start("unshare", "--mount", "tail", "-f", "/dev/null", "--", dir+"/x", "/dev/null")
	ours := Namespace(os.Getpid())
	for Namespace(user.PID) == ours {
		time.Sleep(time.Millisecond)
	}
	beside := start("nsenter", "--mount=/proc/"+strconv.Itoa(user.PID)+"/ns/mnt", "tail", "-f", "/dev/null")
	for Namespace(beside.PID) == ours {
		time.Sleep(time.Millisecond)
	}
	if n := KillUsers(Namespace(user.PID), dir); n != 1 {
		t.Errorf("killed %d", n)
	}
	if !user.Wait(t.Context(), 5*time.Second) || !beside.Alive() {
		t.Errorf("user alive %v, the other in the namespace %v", user.Alive(), beside.Alive())
	}
}

func TestKillChildren(t *testing.T) {
	if os.Getenv("STICKY_FAMILY") == "" {
		// In a process of its own: this one has children that are not to be killed.
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillChildren$", "-test.v")
		cmd.Env = append(os.Environ(), "STICKY_FAMILY=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := BecomeSubreaper(); err != nil {
		t.Fatal(err)
	}
	// The shell dies and leaves an orphan, which becomes our child.
	if err := exec.CommandContext(t.Context(), "sh", "-c", "sleep 60 & sleep 0").Run(); err != nil {
		t.Fatal(err)
	}
	if n := len(children(os.Getpid())); n != 1 {
		t.Fatalf("%d children, want the orphan", n)
	}
	if n := KillChildren(); n != 1 {
		t.Errorf("%d killed", n)
	}
	if left := children(os.Getpid()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// A process that stands still does nothing until it may go on; one that stood still
// by itself stays so.
func TestPause(t *testing.T) {
	ticks := filepath.Join(t.TempDir(), "ticks")
	id := run(t, "echo; while true; do echo x >>"+ticks+"; sleep 0.01; done")
	size := func() int64 {
		st, err := os.Stat(ticks)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	grows := func() bool {
		was := size()
		for range 100 {
			time.Sleep(20 * time.Millisecond)
			if size() > was {
				return true
			}
		}
		return false
	}
	resume, err := Pause(t.Context(), id, "")
	if err != nil || !standsStill(id.PID) {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // its child may have been at it
	was := size()
	time.Sleep(200 * time.Millisecond)
	if size() != was {
		t.Error("it goes on")
	}
	again, err := Pause(t.Context(), id, "/no/such/group")
	if err != nil {
		t.Fatal(err)
	}
	again()
	if !standsStill(id.PID) {
		t.Error("what was stopped by somebody else goes on")
	}
	resume()
	if !grows() {
		t.Error("it does not go on")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	resume, err = Pause(ctx, id, "/no/such/group")
	resume()
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !grows() {
		t.Error("after a pause that was cancelled it does not go on")
	}
}
