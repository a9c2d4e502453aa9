package sticky

import (
	"context"
	"errors"
	"fmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Rolled is what `disk rollback --format json` prints.
type Rolled struct {
	Disk     string `json:"disk"`
	Key      string `json:"key"`
	Ref      string `json:"ref"`
	Platform string `json:"platform"`
	From     string `json:"from"` // "" if there was no head
	To       string `json:"to"`
}

// errNothingEarlier is the answer to a rollback that has nowhere to go.
var errNothingEarlier = errors.New("there is no earlier generation that is good")

// newest sorts behind every id.
const newest = "~"

// RollbackDisk moves the head to the named generation, or to the nearest earlier
// one that is good. What was newer stays beside the head until it is collected.
func (h Host) RollbackDisk(ctx context.Context, o Choice) (*Rolled, error) {
	c, err := h.choose(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.shelf.Close()
	r := &Rolled{Disk: o.Disk, Key: c.lineage.Key, Ref: c.lineage.Ref, Platform: c.lineage.Platform, From: c.head(), To: o.Generation}
	if r.To == "" {
		r.To = disk.Fallback(c.records, first(r.From, newest))
	}
	if r.To == "" {
		return nil, fault.Hint(fmt.Errorf("rolling back the disk %s: %w", c.lineage, errNothingEarlier),
			"to begin with an empty disk, remove the key: docker stickybuilder disk rm --all --key %s", c.lineage.Name())
	}
	if r.To == r.From {
		return r, nil
	}
	return r, c.shelf.SetHead(ctx, c.lineage, r.From, r.To)
}
