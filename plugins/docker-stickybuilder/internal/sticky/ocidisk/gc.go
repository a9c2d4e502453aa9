package ocidisk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// surplus is what is too many of a lineage, but for what was announced a moment ago.
func (d *Disk) surplus(now listing, head string, keep int) []listed {
	since, at := d.options.Now().Add(-d.options.Fresh), now.find(head)
	return slices.DeleteFunc(now.surplus(head, keep), func(g listed) bool {
		return g.created.After(since) && (at == nil || g.tag > at.tag)
	})
}

// collectOld removes generations beyond those to keep, as far as the registry deletes.
func (d *Disk) collectOld(ctx context.Context, l disk.Lineage) error {
	now, err := d.list(ctx, l)
	if err != nil || len(now.generations) <= d.options.Keep {
		return err
	}
	head, err := d.head(ctx, l)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range d.surplus(now, head.id(), d.options.Keep) {
		if d.isPending(g.id) {
			continue
		}
		err := d.remove(ctx, l, now, g)
		errs = append(errs, err)
		if errors.Is(err, errNoDelete) {
			break
		}
	}
	return errors.Join(errs...)
}

// Used returns when a lineage was last committed by anybody, or used on this machine; zero
// if never. A registry does not know of clones.
func (d *Disk) Used(ctx context.Context, l disk.Lineage) (used time.Time, err error) {
	now, err := d.list(ctx, l)
	if err != nil {
		return used, fmt.Errorf("finding out when the disk %s was used: %w", l, d.explain(err))
	}
	for _, g := range now.generations {
		at := g.created
		if st, err := os.Stat(d.file("trees", g.id)); err == nil && st.ModTime().After(at) {
			at = st.ModTime()
		}
		if at.After(used) {
			used = at
		}
	}
	return used, nil
}

// Garbage lists the registry's generations beyond keep for each lineage, and what dead
// jobs have left on this machine.
func (d *Disk) Garbage(ctx context.Context, keep int) ([]disk.Garbage, error) {
	lineages, err := d.Lineages(ctx)
	if err != nil {
		return nil, err
	}
	var out []disk.Garbage
	for _, l := range lineages {
		now, err := d.list(ctx, l)
		if err != nil {
			return nil, err
		}
		head, err := d.head(ctx, l)
		if err != nil {
			return nil, err
		}
		for _, g := range d.surplus(now, head.id(), keep) {
			one := disk.Garbage{Kind: disk.OldGeneration, ID: g.id, Lineage: l}
			if m, err := d.generation(ctx, l, g); err == nil {
				one.Bytes = m.record.Bytes
			}
			out = append(out, one)
		}
	}
	here, err := d.pool.Garbage(ctx, 1)
	if err != nil {
		return nil, err
	}
	for _, g := range here {
		if g.Kind != disk.OldGeneration {
			out = append(out, g)
		}
	}
	return out, nil
}

// Collect removes a piece of garbage unless it has come into use meanwhile.
func (d *Disk) Collect(ctx context.Context, g disk.Garbage) (gone bool, err error) {
	if g.Kind != disk.OldGeneration {
		return d.pool.Collect(ctx, g)
	}
	err = d.Remove(ctx, g.Lineage, g.ID)
	if errors.Is(err, disk.ErrInUse) {
		return false, nil
	}
	return err == nil, err
}
