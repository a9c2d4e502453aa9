package testbed

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20"
	for text, want := range map[string]struct {
		start  uint64
		zombie bool
	}{
		"17 (sh) S" + rest:                 {4242, false},
		"17 (a) Z (tricky) name) R" + rest: {4242, false},
		"17 (gone) Z" + rest:               {4242, true},
	} {
		start, zombie, err := parseStat([]byte(text))
		if err != nil || start != want.start || zombie != want.zombie {
			t.Errorf("%q: %d %t %v", text, start, zombie, err)
		}
	}
	for _, bad := range []string{"", "17 (sh", "17 (sh) S 1 2", "17 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// sleeper starts a child that lives until it is signalled, or longer.
func sleeper(t *testing.T, script string) (Process, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return p, cmd
}

func TestStopAsks(t *testing.T) {
	p, cmd := sleeper(t, "trap 'exit 7' TERM; echo; while :; do sleep 0.05; done")
	if !p.Alive() {
		t.Fatal("a running process is not alive")
	}
	if err := p.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if p.Alive() {
		t.Error("it is still alive")
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("it ended with %d, not by its own trap", code)
	}
}

func TestStopInsists(t *testing.T) {
	p, cmd := sleeper(t, "trap '' TERM; echo; while :; do sleep 0.05; done")
	if err := p.Stop(200 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		t.Errorf("it ended by %v", cmd.ProcessState)
	}
}

// A pid that another process has by now must not be signalled.
func TestStopSparesStrangers(t *testing.T) {
	p, _ := sleeper(t, "echo; while :; do sleep 0.05; done")
	for what, other := range map[string]Process{
		"a later start":     {p.PID, p.Start + 1, p.Boot},
		"another boot":      {p.PID, p.Start, "another"},
		"no process":        {0, p.Start, p.Boot},
		"an impossible one": {1 << 30, p.Start, p.Boot},
	} {
		if other.Alive() {
			t.Errorf("%s is alive", what)
		}
		if err := other.Stop(time.Second); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !p.Alive() {
		t.Error("a stranger was stopped")
	}
	if self, err := identify(os.Getpid()); err != nil || !self.Alive() {
		t.Errorf("this process: %v", err)
	}
}
