package sticky

import (
	"context"
	"fmt"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A Collected is what `disk gc --format json` prints a list of.
type Collected struct {
	disk.Garbage
	Removed bool `json:"removed"` // false in a dry run, and if it has come into use
}

// A trimmer keeps disks in a file, which does not shrink by itself when something
// is removed.
type trimmer interface {
	// Trim makes it shrink and returns by how many bytes.
	Trim(context.Context) (int64, error)
}

var _ trimmer = (*dirpool.Pool)(nil)

// CollectOptions say what CollectDisk removes.
type CollectOptions struct {
	Keep   int           // generations of each disk, the head among them
	Unused time.Duration // after which a whole disk is removed, 0 for never
	Dry    bool          // only say what would be removed
}

// CollectDisk removes what nothing refers to, or with Dry only says what that is.
// The error that stopped it comes with what was done by then.
func (h Host) CollectDisk(ctx context.Context, spec string, o CollectOptions, r progress.Reporter) ([]Collected, error) {
	out := []Collected{}
	shelf, err := h.OpenShelf(spec)
	if err != nil {
		return out, err
	}
	defer shelf.Close()
	stale := unused{shelf, time.Time{}}
	if o.Unused > 0 {
		stale.since = h.Now().Add(-o.Unused)
	}
	garbage, err := stale.garbage(ctx, o.Keep)
	if err != nil {
		return out, err
	}
	for _, g := range garbage {
		c := Collected{Garbage: g}
		if !o.Dry {
			if ctx.Err() != nil {
				return out, context.Cause(ctx)
			}
			if err := progress.Do(r, fmt.Sprintf("removing %s %s", g.Kind, g.ID), func(progress.Step) error {
				c.Removed, err = stale.collect(ctx, g)
				return err
			}); err != nil {
				return out, err
			}
		}
		out = append(out, c)
	}
	if t, ok := shelf.(trimmer); ok && !o.Dry {
		return out, progress.Do(r, "giving free space back", func(step progress.Step) error {
			n, err := t.Trim(ctx)
			if n > 0 {
				fmt.Fprintf(step, "%d MiB\n", n>>20)
			}
			return err
		})
	}
	return out, nil
}
