package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// logTail is how many lines of a daemon's log an error shows.
const logTail = 15

// A daemon is a long-running program that outlives the process starting it.
type daemon struct {
	name  string // in the state file, and of the log
	what  string // for the user
	argv  []string
	env   []string // added to the environment
	netns string   // path of a network namespace to run in; "" is the host's
	limit time.Duration
	ready func(context.Context) error
}

// start runs d, records it and waits until it is ready. A daemon that does not
// get ready is stopped again. The record is written before the wait, so that
// an interrupted run leaves nothing that Down does not know.
func (b *Bed) start(ctx context.Context, d daemon) (err error) {
	end := b.Log.Step("starting %s", d.what)
	defer func() { end(err) }()

	path := b.log(d.name)
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("starting %s: %w", d.what, err)
	}
	logFile, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("starting %s: %w", d.what, err)
	}
	defer logFile.Close()

	cmd := exec.Command(d.argv[0], d.argv[1:]...) //nolint:noctx // it outlives the context
	cmd.Env = append(daemonEnv(os.Environ()), d.env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := inNetNS(d.netns, cmd.Start); err != nil {
		return fmt.Errorf("starting %s: %w", d.what, err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(gone)
	}()

	p, err := identify(cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("starting %s: %w%s", d.what, err, tail(path))
	}
	b.State.Processes[d.name] = p
	if err := b.save(); err != nil {
		return errors.Join(err, p.Stop(time.Second))
	}
	if err := poll(ctx, d.limit, gone, d.ready); err != nil {
		if stopErr := b.stop(d.name, d.what, 5*time.Second); stopErr != nil {
			err = errors.Join(err, stopErr)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("starting %s: %w%s", d.what, err, tail(path))
	}
	return nil
}

// alive reports whether the named daemon runs and is ready.
func (b *Bed) alive(ctx context.Context, name string, ready func(context.Context) error) bool {
	return b.State.Processes[name].Alive() && ready(ctx) == nil
}

// stop ends the named daemon if it is still the one that was started.
func (b *Bed) stop(name, what string, grace time.Duration) error {
	p, ok := b.State.Processes[name]
	if !ok {
		return nil
	}
	if p.Alive() {
		b.Log.Say("stopping %s (pid %d)", what, p.PID)
	}
	if err := p.Stop(grace); err != nil {
		return fmt.Errorf("stopping %s: %w", what, err)
	}
	delete(b.State.Processes, name)
	return b.save()
}

// daemonEnv drops what ties a process to the one that started it: GitHub's
// runner kills everything that carries its tracking id when a step's job ends.
func daemonEnv(env []string) []string {
	var out []string
	for _, kv := range env {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "RUNNER_TRACKING_ID", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID":
		default:
			out = append(out, kv)
		}
	}
	return out
}

// tail gives the last lines of a log as the end of an error message.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	buf := make([]byte, 16<<10)
	if fi, err := f.Stat(); err == nil && fi.Size() > int64(len(buf)) {
		if _, err := f.Seek(-int64(len(buf)), io.SeekEnd); err != nil {
			return ""
		}
	}
	n, _ := f.Read(buf)
	lines := bytes.Split(bytes.TrimSpace(buf[:n]), []byte("\n"))
	if len(lines) > logTail {
		lines = lines[len(lines)-logTail:]
	}
	text := bytes.Join(lines, []byte("\n  "))
	if len(text) == 0 {
		return fmt.Sprintf(" (its log %s is empty)", path)
	}
	return fmt.Sprintf("\n  %s\n(from %s)", text, path)
}
