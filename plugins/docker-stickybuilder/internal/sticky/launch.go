package sticky

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Descriptors that a supervisor inherits.
const (
	ReadyFD = 3 // where it writes one announcement
	LockFD  = 4 // lock of the working copy
)

// An announcement is what a supervisor says to the up that started it, once.
type announcement struct {
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	Slow  bool   `json:"slow,omitempty"` // the error is daemon.ErrSlow
}

// slow is what another process has said, and daemon.ErrSlow.
type slow struct{ error }

func (slow) Is(target error) bool { return target == daemon.ErrSlow }

// launch starts the supervisor in a session of its own, so that no terminal's
// signal reaches it, and returns when it says that the builder is ready.
func (h Host) launch(ctx context.Context, dir instance.Dir, i *instance.Instance, lock *durable.Lock) error {
	log, err := os.OpenFile(dir.File(instance.SupervisorLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()

	argv := h.Supervisor(i.Name)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = detachedEnviron(h.Environ)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{write, lock.File()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	write.Close()
	if err != nil {
		return fmt.Errorf("starting the supervisor: %w", err)
	}

	said := make(chan error, 1)
	go func() { said <- hear(read) }()
	select {
	case err = <-said:
	case <-ctx.Done():
		err = context.Cause(ctx)
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may not have written down who it is yet
	}
	if err == nil {
		return cmd.Process.Release()
	}
	_ = cmd.Wait() // it ends once it has announced an error or got the signal
	if errors.Is(err, errSilent) {
		last := filepath.Join(string(h.State.Last(i.Name)), instance.SupervisorLog)
		return fault.Hint(fmt.Errorf("starting the supervisor: %w: %s", err, cmd.ProcessState), "see %s", last)
	}
	return err
}

var errSilent = errors.New("it ended without a word")

func hear(r io.Reader) error {
	var a announcement
	switch err := json.NewDecoder(io.LimitReader(r, 1<<20)).Decode(&a); {
	case err != nil:
		return errSilent
	case a.Error == "":
		return nil
	}
	err := errors.New(a.Error)
	if a.Slow {
		err = slow{err}
	}
	if a.Hint == "" {
		return err
	}
	return fault.Hint(err, "%s", a.Hint)
}

func announce(w io.Writer, err error) error {
	var a announcement
	if err != nil {
		a = announcement{Error: err.Error(), Hint: fault.HintOf(err), Slow: errors.Is(err, daemon.ErrSlow)}
	}
	return json.NewEncoder(w).Encode(a)
}
