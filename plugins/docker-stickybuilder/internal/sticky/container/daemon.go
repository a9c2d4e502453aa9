package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
)

// A Daemon is a buildkitd in a container.
type Daemon struct {
	// ID is the container's first process, zero if the engine's processes are not
	// to be seen from here.
	ID process.ID

	engine    *Engine
	container string
	ended     chan struct{}
	verdict   string // set once ended is closed
	status    int64
}

// Follow finds the running container of a node and begins to wait for its end.
// What it prints goes to log. Both end with the container, or with ctx.
func (e *Engine) Follow(ctx context.Context, node string, log io.Writer) (*Daemon, error) {
	inspect, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := e.api.ContainerInspect(inspect, Name(node), client.ContainerInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("looking for container %s: %w", Name(node), err)
	}
	if s := c.Container.State; s == nil || !s.Running {
		return nil, fmt.Errorf("looking for container %s: it has ended", Name(node))
	}
	d := &Daemon{engine: e, container: c.Container.ID, ended: make(chan struct{}), ID: identify(c.Container.State.Pid, c.Container.ID)}
	go d.wait(ctx)
	go d.copyLog(ctx, log)
	return d, nil
}

// identify returns the process of the given number if it is of the container: an
// engine may count in another namespace.
func identify(pid int, container string) process.ID {
	id, err := process.Identify(pid)
	if err != nil {
		return process.ID{}
	}
	groups, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil || !strings.Contains(string(groups), container) || !id.Alive() {
		return process.ID{}
	}
	return id
}

// retryAfter is how long to leave an engine alone that does not answer.
const retryAfter = 300 * time.Millisecond

// wait outlives a restart of the engine.
func (d *Daemon) wait(ctx context.Context) {
	defer close(d.ended)
	for {
		r := d.engine.api.ContainerWait(ctx, d.container, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
		select {
		case w := <-r.Result:
			d.status, d.verdict = w.StatusCode, fmt.Sprintf("exit status %d", w.StatusCode)
			return
		case err := <-r.Error:
			switch {
			case ctx.Err() != nil:
				d.status, d.verdict = -1, "nobody waits any more"
				return
			case cerrdefs.IsNotFound(err):
				d.status, d.verdict = -1, "its container is gone"
				return
			case !d.ID.IsZero() && !d.ID.Alive():
				d.status, d.verdict = -1, "it ended with the docker engine"
				return
			}
		}
		sleep(ctx, retryAfter)
	}
}

func (d *Daemon) copyLog(ctx context.Context, log io.Writer) {
	r, err := d.engine.api.ContainerLogs(ctx, d.container, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err != nil {
		fmt.Fprintf(log, "reading the container's log: %v\n", err)
		return
	}
	defer r.Close()
	_, _ = stdcopy.StdCopy(log, log, r)
}

// Done is closed once the container has ended.
func (d *Daemon) Done() <-chan struct{} { return d.ended }

// Verdict says in words how it ended.
func (d *Daemon) Verdict() string {
	select {
	case <-d.ended:
		return d.verdict
	default:
		return "running"
	}
}

// Stop asks the daemon to end and, if it does not within patience, has the engine
// kill it. If the engine does not answer, its first process is killed.
func (d *Daemon) Stop(ctx context.Context, patience time.Duration) (daemon.End, error) {
	select {
	case <-d.ended:
		return daemon.Crashed, nil
	default:
	}
	const kill = 10 * time.Second // to be killed and buried
	limit, cancel := context.WithTimeout(ctx, patience+kill)
	defer cancel()
	seconds := int(patience.Seconds())
	_, err := d.engine.api.ContainerStop(limit, d.container, client.ContainerStopOptions{Timeout: &seconds})
	if err != nil && !cerrdefs.IsNotFound(err) {
		if d.ID.IsZero() {
			return daemon.Killed, fmt.Errorf("stopping the container: %w", err)
		}
		if _, stop := d.ID.Stop(ctx, daemon.Ladder(patience)...); stop != nil {
			return daemon.Killed, errors.Join(fmt.Errorf("stopping the container: %w", err), stop)
		}
	}
	select {
	case <-d.ended:
	case <-time.After(kill):
		return daemon.Killed, errors.New("stopping the container: its end is not to be had from the engine")
	}
	if d.status < 0 || d.status > daemon.CleanStatus {
		return daemon.Killed, nil
	}
	return daemon.Clean, nil
}

// Dial opens a connection to the daemon, as buildx does: by way of buildctl in the
// container.
func (d *Daemon) Dial(ctx context.Context) (net.Conn, error) {
	api := d.engine.api
	exec, err := api.ExecCreate(ctx, d.container, client.ExecCreateOptions{
		Cmd: []string{"buildctl", "dial-stdio"}, AttachStdin: true, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return nil, err
	}
	a, err := api.ExecAttach(ctx, exec.ID, client.ExecAttachOptions{})
	if err != nil {
		return nil, err
	}
	read, write := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(write, io.Discard, a.Reader)
		write.CloseWithError(err)
	}()
	return &stream{a.Conn, read}, nil
}

// A stream reads what the engine has taken apart into stdout and stderr.
type stream struct {
	net.Conn
	out *io.PipeReader
}

func (s *stream) Read(b []byte) (int, error) { return s.out.Read(b) }

func (s *stream) Close() error {
	_ = s.out.Close()
	return s.Conn.Close()
}
