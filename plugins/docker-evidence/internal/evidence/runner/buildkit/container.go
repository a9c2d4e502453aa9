package buildkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
)

// containers makes one container for each process, on a writable snapshot of its
// own.
type containers struct {
	gateway gateway.Client
	image   gateway.Reference
	subject runner.Subject
	host    record.Host
}

func (c *containers) Host() record.Host { return c.host }

// cleanupTime bounds what is done after the work, or after it was interrupted.
const cleanupTime = 30 * time.Second

// Run implements smoke.Image.
func (c *containers) Run(ctx context.Context, p smoke.Process) (status int, rerr error) {
	network := pb.NetMode_NONE
	if p.Network == suite.NetworkDefault {
		network = pb.NetMode_UNSET
	}
	container, err := c.gateway.NewContainer(ctx, gateway.NewContainerRequest{
		Mounts:   []gateway.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: c.image}},
		NetMode:  network,
		Platform: pbPlatform(c.subject),
	})
	if err != nil {
		return 0, fmt.Errorf("creating a container: %w", err)
	}
	clean, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer func() {
		stop := time.AfterFunc(cleanupTime, cancel)
		defer stop.Stop()
		// Release also reports how the processes ended, which is known already.
		var exit *gatewaypb.ExitError
		if err := container.Release(clean); err != nil && rerr == nil && !errors.As(err, &exit) {
			rerr = fmt.Errorf("removing the container: %w", err)
		}
	}()

	stdout, stderr := &output{w: p.Stdout}, &output{w: p.Stderr, keep: true}
	defer stdout.shut()
	defer stderr.shut()
	process, err := container.Start(ctx, gateway.StartRequest{
		Args:   p.Args,
		Env:    c.subject.Environ(p.Env),
		User:   first(p.User, c.subject.Image.User),
		Cwd:    first(p.Dir, c.subject.Image.WorkingDir, "/"),
		Stdout: stdout,
		Stderr: stderr,
	})
	if err != nil {
		return 0, fmt.Errorf("starting a process: %w", err)
	}
	err = process.Wait()
	if ctx.Err() != nil {
		stop := time.AfterFunc(cleanupTime, cancel)
		defer stop.Stop()
		_ = process.Signal(clean, syscall.SIGKILL)
		return 0, context.Cause(ctx)
	}
	return exitStatus(err, stderr)
}

// runcFailed begins what runc says before it ends with status 1.
const runcFailed = "runc run failed: "

// exitStatus tells what the end of a process says about the image. runc itself
// ends with a message on the process's stderr when it cannot start it.
func exitStatus(err error, stderr *output) (int, error) {
	if err == nil {
		return 0, nil
	}
	var exit *gatewaypb.ExitError
	if !errors.As(err, &exit) {
		return 0, fmt.Errorf("running a process: %w", err)
	}
	// An image can print the same, but then it has been started, and only fools
	// its own suite.
	if message, ok := bytes.CutPrefix(stderr.kept(), []byte(runcFailed)); ok && exit.ExitCode == 1 {
		if status, ok := runner.StartFailure(string(message)); ok {
			return status, nil
		}
		return 0, fmt.Errorf("starting a process: %s", bytes.TrimSpace(message))
	}
	// 255 is also what the daemon says when it does not know; then it says why.
	if exit.ExitCode == gatewaypb.UnknownExitStatus && !strings.HasSuffix(err.Error(), "exit code: 255") {
		return 0, fmt.Errorf("running a process: %w", err)
	}
	return int(exit.ExitCode), nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// output passes bytes on until it is shut.
type output struct {
	mu   sync.Mutex
	w    io.Writer
	done bool
	keep bool
	head []byte
}

// maxKept is more than runc's last words.
const maxKept = 4 << 10

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return len(p), nil
	}
	if o.keep {
		o.head = append(o.head, p[:min(len(p), maxKept-len(o.head))]...)
	}
	return o.w.Write(p)
}

func (o *output) Close() error { return nil }

func (o *output) kept() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.head
}

func (o *output) shut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = true
}
