package measure

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A Daemon is a program that runs beside others until it is stopped.
type Daemon struct {
	cmd   *exec.Cmd
	start time.Time
	ended chan struct{}
	log   string
}

// StartDaemon starts a program, with its output in the file log, and waits until
// ready says that it can be used.
func StartDaemon(ctx context.Context, c Command, log string, ready func() bool) (*Daemon, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Argv[0], err)
	}
	defer out.Close()
	d := &Daemon{cmd: exec.Command(c.Argv[0], c.Argv[1:]...), start: time.Now(), ended: make(chan struct{}), log: log} //nolint:noctx // Stop ends it in an orderly way
	d.cmd.Env, d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = c.Env, c.Dir, out, out
	// Ctrl-C is for the benchmark, which then stops its daemons itself.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Argv[0], err)
	}
	go func() {
		_ = d.cmd.Wait() // how it ended stands in ProcessState
		close(d.ended)
	}()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !ready() {
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-d.ended:
			text, _ := os.ReadFile(log)
			return nil, fmt.Errorf("starting %s: it ended (%s): %s", filepath.Base(c.Argv[0]), d.cmd.ProcessState, tail(text, 2000))
		case <-limit.C:
			err = fmt.Errorf("starting %s: it does not answer", filepath.Base(c.Argv[0]))
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		d.Stop()
		return nil, err
	}
	return d, nil
}

// Stop ends the program and returns what it used from its start on.
func (d *Daemon) Stop() Usage {
	rss := highWaterMark(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	return ofProcess(d.cmd.ProcessState, time.Since(d.start), rss)
}
