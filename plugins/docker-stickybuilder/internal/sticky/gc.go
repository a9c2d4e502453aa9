package sticky

import (
	"context"
	"fmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A Collected is what `disk gc --format json` prints a list of.
type Collected struct {
	disk.Garbage
	Removed bool `json:"removed"` // false in a dry run, and if it has come into use
}

// CollectDisk removes what nothing refers to, or with dry only says what that is.
// The error that stopped it comes with what was done by then.
func (h Host) CollectDisk(ctx context.Context, spec string, keep int, dry bool, r progress.Reporter) ([]Collected, error) {
	out := []Collected{}
	shelf, err := h.OpenShelf(spec)
	if err != nil {
		return out, err
	}
	garbage, err := shelf.Garbage(ctx, keep)
	if err != nil {
		return out, err
	}
	for _, g := range garbage {
		c := Collected{Garbage: g}
		if !dry {
			if ctx.Err() != nil {
				return out, context.Cause(ctx)
			}
			if err := progress.Do(r, fmt.Sprintf("removing %s %s", g.Kind, g.ID), func(progress.Step) error {
				c.Removed, err = shelf.Collect(ctx, g)
				return err
			}); err != nil {
				return out, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}
