package buildkit

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/buildkit/client"
)

// How often a daemon is asked whether it is there, and how long it may take to
// answer.
const (
	watchEvery   = 2 * time.Second
	watchTimeout = 20 * time.Second
)

// watch returns a context that ends when the daemon no longer answers: a process
// that is waited for would otherwise seem to run on.
func watch(parent context.Context, c *client.Client) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			limited, done := context.WithTimeout(ctx, watchTimeout)
			_, err := c.ListWorkers(limited)
			done()
			if err != nil {
				cancel(fmt.Errorf("the builder is gone: %w", err))
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
