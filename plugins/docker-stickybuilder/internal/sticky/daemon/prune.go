package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/buildkit/client"
)

// Prune removes cache records that no build has used for age, or with all also
// those that BuildKit keeps for itself, and returns how many were removed.
//
// It asks by age alone: told a size, BuildKit would add up the usage of every record
// first, which fails on some disks and can end the daemon.
func Prune(ctx context.Context, c *client.Client, age time.Duration, all bool) (int, error) {
	removed := make(chan client.UsageInfo)
	count := make(chan int)
	go func() {
		n := 0
		for range removed {
			n++
		}
		count <- n
	}()
	options := []client.PruneOption{client.WithKeepOpt(age, 0, 0, 0)}
	if all {
		options = append(options, client.PruneAll)
	}
	err := c.Prune(ctx, removed, options...)
	close(removed)
	n := <-count
	if err != nil {
		return n, fmt.Errorf("pruning what was not used for %s: %w", age, err)
	}
	return n, nil
}
