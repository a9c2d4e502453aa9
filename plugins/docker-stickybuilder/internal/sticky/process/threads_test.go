package process

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const lastsByThreads = "STICKY_LASTS_BY_THREADS"

// A process whose first thread has ended, and others have not. Only what is run before
// main is sure to be on the first thread.
func init() {
	if os.Getenv(lastsByThreads) == "" {
		return
	}
	go func() {
		time.Sleep(time.Minute)
		os.Exit(1)
	}()
	fmt.Println()
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

// What is left of a process that was killed may hold locks.
func TestAliveByItsThreads(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test itself
	cmd.Env = append(os.Environ(), lastsByThreads+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	state := func() byte {
		st, err := readStat(id.PID)
		if err != nil {
			t.Fatal(err)
		}
		return st.state
	}
	for deadline := time.Now().Add(10 * time.Second); state() != 'Z'; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the first thread is in state %c", state())
		}
	}
	if !id.Alive() || id.Wait(t.Context(), 50*time.Millisecond) {
		t.Error("it is taken for dead")
	}
	if err := id.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if !id.Wait(t.Context(), 10*time.Second) || id.Alive() {
		t.Error("it was killed and is alive") // a zombie, until it is waited for
	}
}
