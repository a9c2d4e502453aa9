package sticky

import (
	"context"
	"fmt"
	"slices"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Removed is what `disk rm --format json` prints.
type Removed struct {
	Disk        string   `json:"disk"`
	Key         string   `json:"key"`
	Ref         string   `json:"ref"`
	Platform    string   `json:"platform"`
	Generations []string `json:"generations"` // never null
	Lineage     bool     `json:"lineage"`     // all of it is gone
}

// RemoveGenerations removes generations of one key. Nothing is removed if one of
// them is not known or is the head; the error that stopped it comes with what is
// gone by then.
func (h Host) RemoveGenerations(ctx context.Context, o Choice, ids []string) (*Removed, error) {
	var found []*chosen
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			continue
		}
		o.Generation = id
		c, err := h.choose(ctx, o)
		if err != nil {
			return nil, err
		}
		defer c.shelf.Close()
		if c.record.Head {
			return nil, fault.Hint(fmt.Errorf("removing %s of the disk %s: %w: it is the head", id, c.lineage, disk.ErrInUse),
				"move the head first: docker stickybuilder disk rollback --key %s; or remove all of it with --all", c.lineage.Name())
		}
		if len(found) > 0 && found[0].lineage != c.lineage {
			return nil, fault.Hint(fmt.Errorf("removing generations: %s is of %s and %s of %s", ids[0], found[0].lineage, id, c.lineage), "remove those of one key at a time")
		}
		found = append(found, c)
	}
	r := &Removed{Disk: o.Disk, Key: found[0].lineage.Key, Ref: found[0].lineage.Ref, Platform: found[0].lineage.Platform, Generations: []string{}}
	for _, c := range found {
		if err := c.shelf.Remove(ctx, c.lineage, c.record.ID); err != nil {
			return r, err
		}
		r.Generations = append(r.Generations, c.record.ID)
	}
	return r, nil
}

// RemoveLineage removes a key's disk of one platform with all that is in it.
func (h Host) RemoveLineage(ctx context.Context, o Choice) (*Removed, error) {
	c, err := h.choose(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.shelf.Close()
	if err := c.shelf.RemoveLineage(ctx, c.lineage); err != nil {
		return nil, err
	}
	r := &Removed{Disk: o.Disk, Key: c.lineage.Key, Ref: c.lineage.Ref, Platform: c.lineage.Platform, Generations: []string{}, Lineage: true}
	for _, g := range c.records {
		r.Generations = append(r.Generations, g.ID)
	}
	return r, nil
}
