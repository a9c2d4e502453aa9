package daemon

import (
	"context"
	"fmt"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/identity"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Probe lets the daemon make, or find again, one empty directory: a build that
// touches each of its databases. That it lists a worker says nothing about those.
//
// The build is internal, so the history knows nothing of it. It is always the same,
// and what is left of it on a disk is the one record that the next probe finds.
func Probe(ctx context.Context, c *client.Client, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	def, err := llb.Scratch().File(llb.Mkdir("/probe", 0o755, llb.WithCreatedTime(time.Unix(0, 0))), llb.WithCustomName("docker stickybuilder probe")).Marshal(ctx)
	if err != nil {
		return err
	}
	// Not by client.Solve: it opens a session, of which this build has no need, and closing
	// one takes a second whenever HTTP/2 finds fault with it.
	solve := &controlapi.SolveRequest{Ref: identity.NewID(), Definition: def.ToPB(), Internal: true, Cache: &controlapi.CacheOptions{}}
	if _, err := c.ControlClient().Solve(ctx, solve); err != nil {
		if ctx.Err() != nil {
			return fault.Hint(fmt.Errorf("probing buildkitd: %w, after %s: %w", ErrSlow, timeout, err), "give it more time with --ready-timeout")
		}
		return fmt.Errorf("probing buildkitd: %w", err)
	}
	return nil
}
