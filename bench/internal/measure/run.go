package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A Command is a program to run.
type Command struct {
	Argv    []string
	Env     []string // the whole environment; nil takes over the caller's
	Dir     string
	Scratch string // directory whose files count as temporary; "" measures no disk
	Stdout  io.Writer
	Stderr  io.Writer // gets what an ExitError would tell the end of
}

// An ExitError is a program that ran and did not succeed.
type ExitError struct {
	Program string
	Status  int
	Said    string // the end of what it wrote on stderr
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("running %s: exit status %d: %s", e.Program, e.Status, e.Said)
}

// Run runs a program to its end.
func Run(ctx context.Context, c Command) (Usage, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = c.Env, c.Dir, c.Stdout, &stderr
	if c.Stderr != nil {
		cmd.Stderr = io.MultiWriter(&stderr, c.Stderr)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Usage{}, fmt.Errorf("running %s: %w", filepath.Base(c.Argv[0]), err)
	}
	stop := make(chan struct{})
	watched := watch(cmd.Process.Pid, c.Scratch, stop)
	err := cmd.Wait()
	wall := time.Since(start)
	close(stop)
	peak := <-watched
	u := ofProcess(cmd.ProcessState, wall, peak.rss)
	u.Disk = peak.disk
	if ctx.Err() != nil {
		return u, context.Cause(ctx)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return u, &ExitError{filepath.Base(c.Argv[0]), exit.ExitCode(), tail(stderr.Bytes(), 2000)}
	}
	return u, err
}

func tail(text []byte, most int) string {
	text = bytes.TrimSpace(text)
	if len(text) > most {
		text = append([]byte("… "), text[len(text)-most:]...)
	}
	return string(text)
}
