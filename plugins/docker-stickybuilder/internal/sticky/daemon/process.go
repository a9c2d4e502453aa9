package daemon

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
)

// A Process is a running buildkitd.
type Process struct {
	ID    process.ID
	Ended chan struct{}    // closed once it has ended; State is set then
	State *os.ProcessState // not to be read before
}

// Start runs the binary with the configuration file. Its output goes to log, and
// it inherits lock, so that what the lock protects stays protected for as long
// as it lives, even without this process.
//
// It dies with this process. It gets a mount namespace of its own, so that no
// mount outlives it however it dies. Neither it nor what it runs waits for syncs:
// the disk is synced as a whole before it is committed.
func Start(binary, config string, env []string, log, lock *os.File) (*Process, error) {
	cmd := exec.Command(binary, "--config", config)
	cmd.Env = env
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:      true,
		Pdeathsig:    syscall.SIGKILL,
		Unshareflags: syscall.CLONE_NEWNS,
	}
	p := &Process{Ended: make(chan struct{})}
	started, identified := make(chan error), make(chan struct{})
	go func() {
		// The kernel sends Pdeathsig when the thread that forked ends, so that
		// thread has to stay until the process has ended. It is never unlocked,
		// and so ends with this goroutine: nothing else may run on it.
		runtime.LockOSThread()
		ignoreSyncs()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		<-identified // even one that ends at once is there until it is waited for
		_ = cmd.Wait()
		p.State = cmd.ProcessState
		close(p.Ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	id, err := process.Identify(cmd.Process.Pid)
	close(identified)
	if err != nil {
		_ = cmd.Process.Kill()
		<-p.Ended
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	p.ID = id
	return p, nil
}

// An End is how a daemon came to its end.
type End int

const (
	Crashed End = iota // it had ended before it was asked to
	Clean              // it ended when it was asked to
	Killed             // it had to be killed, or failed while it ended
)

// Done is closed once the daemon has ended.
func (p *Process) Done() <-chan struct{} { return p.Ended }

// Stop asks the daemon to end and, if it does not, makes it. The first SIGTERM
// lets requests finish, a second one hurries it.
func (p *Process) Stop(ctx context.Context, patience time.Duration) (End, error) {
	sig, err := p.ID.Stop(ctx, Ladder(patience)...)
	if err != nil {
		return Killed, err
	}
	<-p.Ended
	switch {
	case sig == 0:
		return Crashed, nil
	case sig == unix.SIGKILL, !p.State.Exited(), p.State.ExitCode() > CleanStatus:
		return Killed, nil
	}
	return Clean, nil
}

// CleanStatus is what buildkitd exits with when a signal made it end in good
// order; a panic gives a higher one.
const CleanStatus = 1

// Ladder is the order of signals by which a daemon is stopped.
func Ladder(patience time.Duration) []process.Rung {
	return []process.Rung{
		{Signal: unix.SIGTERM, Wait: patience},
		{Signal: unix.SIGTERM, Wait: patience / 2},
		{Signal: unix.SIGKILL, Wait: 10 * time.Second},
	}
}

// Verdict says in words how the daemon ended: "exit status 1", "signal: killed".
func (p *Process) Verdict() string {
	select {
	case <-p.Ended:
		return p.State.String()
	default:
		return "running"
	}
}
