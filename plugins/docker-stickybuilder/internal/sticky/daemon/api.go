package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// readyPoll is how often a daemon that starts is asked whether it is ready.
const readyPoll = 10 * time.Millisecond

// ErrSlow means that a daemon was not ready in time. That may be the machine's fault.
var ErrSlow = errors.New("not ready in time")

// Ready connects to the daemon on socket and waits until it lists a worker,
// ended is closed, or timeout is over. It returns the connection, which the
// caller closes, and what the daemon says of itself.
func Ready(ctx context.Context, socket string, ended <-chan struct{}, timeout time.Duration) (*client.Client, About, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var c *client.Client
	last := errors.New("no socket yet")
	for {
		// gRPC would back off for a whole second after its first vain attempt,
		// so it only gets to see a socket that answers.
		if c == nil && answers(ctx, socket) {
			var err error
			if c, err = client.New(ctx, "unix://"+socket); err != nil {
				return nil, About{}, fmt.Errorf("connecting to buildkitd: %w", err)
			}
		}
		if c != nil {
			about, err := Ask(ctx, c)
			if err == nil {
				return c, about, nil
			}
			if ctx.Err() == nil {
				last = err
			}
		}
		var err error
		select {
		case <-time.After(readyPoll):
			continue
		case <-ended:
			err = errors.New("starting buildkitd: it ended before it was ready")
		case <-ctx.Done():
			if err = context.Cause(ctx); errors.Is(err, context.DeadlineExceeded) {
				err = fault.Hint(fmt.Errorf("starting buildkitd: %w, after %s: %w", ErrSlow, timeout, last), "give it more time with --ready-timeout")
			}
		}
		if c != nil {
			c.Close()
		}
		return nil, About{}, err
	}
}

// About is what a daemon says of itself.
type About struct {
	Version     string
	Snapshotter string // of its worker, such as "overlayfs"
}

// snapshotterLabel is the worker's label that names it.
const snapshotterLabel = "org.mobyproject.buildkit.worker.snapshotter"

// Answer waits until the daemon behind c lists a worker, at most for timeout, and
// returns what it says of itself.
func Answer(ctx context.Context, c *client.Client, timeout time.Duration) (about About, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		if about, err = Ask(ctx, c); err == nil {
			return about, nil
		}
		select {
		case <-time.After(10 * readyPoll):
		case <-ctx.Done():
			return About{}, fmt.Errorf("asking buildkitd: %w, after %s: %w", ErrSlow, timeout, err)
		}
	}
}

func answers(ctx context.Context, socket string) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// Ask asks once.
func Ask(ctx context.Context, c *client.Client) (About, error) {
	workers, err := c.ListWorkers(ctx)
	if err != nil {
		return About{}, err
	}
	if len(workers) == 0 {
		return About{}, fmt.Errorf("it has no worker")
	}
	w := workers[0]
	return About{Version: w.BuildkitVersion.Version, Snapshotter: w.Labels[snapshotterLabel]}, nil
}
