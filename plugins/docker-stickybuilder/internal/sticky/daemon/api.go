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

// Ready connects to the daemon on socket and waits until it lists a worker,
// ended is closed, or timeout is over. It returns the connection, which the
// caller closes, and the daemon's version.
func Ready(ctx context.Context, socket string, ended <-chan struct{}, timeout time.Duration) (*client.Client, string, error) {
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
				return nil, "", fmt.Errorf("connecting to buildkitd: %w", err)
			}
		}
		if c != nil {
			version, err := ask(ctx, c)
			if err == nil {
				return c, version, nil
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
				err = fault.Hint(fmt.Errorf("starting buildkitd: not ready after %s: %w", timeout, last), "give it more time with --ready-timeout")
			}
		}
		if c != nil {
			c.Close()
		}
		return nil, "", err
	}
}

// Answer waits until the daemon behind c lists a worker, at most for timeout, and
// returns its version.
func Answer(ctx context.Context, c *client.Client, timeout time.Duration) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		if version, err = ask(ctx, c); err == nil {
			return version, nil
		}
		select {
		case <-time.After(10 * readyPoll):
		case <-ctx.Done():
			return "", fmt.Errorf("asking buildkitd: %w", err)
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

func ask(ctx context.Context, c *client.Client) (string, error) {
	workers, err := c.ListWorkers(ctx)
	if err != nil {
		return "", err
	}
	if len(workers) == 0 {
		return "", fmt.Errorf("it has no worker")
	}
	return workers[0].BuildkitVersion.Version, nil
}
