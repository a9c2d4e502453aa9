package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// readyPoll is how often a daemon that starts is asked whether it is ready.
const readyPoll = 25 * time.Millisecond

// Ready connects to the daemon on socket and waits until it lists a worker,
// ended is closed, or timeout is over. It returns the connection, which the
// caller closes, and the daemon's version.
func Ready(ctx context.Context, socket string, ended <-chan struct{}, timeout time.Duration) (*client.Client, string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := client.New(ctx, "unix://"+socket)
	if err != nil {
		return nil, "", fmt.Errorf("connecting to buildkitd: %w", err)
	}
	var last error
	for {
		version, err := ask(ctx, c)
		if err == nil {
			return c, version, nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ended:
			c.Close()
			return nil, "", fmt.Errorf("starting buildkitd: it ended before it was ready")
		case <-ctx.Done():
			c.Close()
			if err := context.Cause(ctx); err != context.DeadlineExceeded {
				return nil, "", err
			}
			return nil, "", fault.Hint(fmt.Errorf("starting buildkitd: not ready after %s: %w", timeout, last),
				"give it more time with --ready-timeout")
		case <-time.After(readyPoll):
		}
	}
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
