package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// lookPath finds a program on PATH or where Debian keeps those of the
// administrator, which an ordinary user's PATH leaves out.
func lookPath(name string) (string, bool) {
	if p, err := exec.LookPath(name); err == nil {
		return p, true
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if p, err := exec.LookPath(dir + "/" + name); err == nil {
			return p, true
		}
	}
	return "", false
}

// interruptible makes the end of cmd's context reach its children too: the
// whole process group is asked to end, and killed if it does not. The death of
// this process, by SIGKILL for one, ends cmd as well.
func interruptible(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
}

// output runs a short command and returns what it prints, trimmed.
func output(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	var text bytes.Buffer
	cmd.Stderr = &text
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w%s", strings.Join(argv, " "), err, because(text.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// asRoot runs a command with root's rights, by sudo where they are missing.
// What it prints is shown only if it fails.
func asRoot(ctx context.Context, dir string, env []string, argv ...string) error {
	if os.Geteuid() != 0 {
		sudo, err := exec.LookPath("sudo")
		if err != nil {
			return fault.Hint(fmt.Errorf("running %s: it needs root and there is no sudo", argv[0]), "run the testbed as root")
		}
		argv = append(append([]string{sudo, "env"}, env...), argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if os.Geteuid() == 0 {
		interruptible(cmd)
	} else {
		cmd.Stdin = os.Stdin // sudo may ask for a password, and only the terminal's own group may read it
		cmd.WaitDelay = 10 * time.Second
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("running %s: %w%s", strings.Join(argv, " "), err, because(text.String()))
	}
	return nil
}

func needRoot(what string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return fault.Hint(errors.New(what+": this needs root"), "run it again by sudo -E, with the same DOCKERFACTORY_CACHE")
}

func because(stderr string) string {
	if s := lastLines(stderr, logTail); s != "" {
		return ":\n  " + strings.ReplaceAll(s, "\n", "\n  ")
	}
	return ""
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
