package sticky

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// unused is a shelf of which whole lineages are garbage if no job has cloned or committed
// them since some time, such as those of branches that were merged; none if that is zero.
type unused struct {
	shelf Shelf
	since time.Time
}

// garbage lists unused lineages that no working copy belongs to, and of all others what
// nothing refers to.
func (u unused) garbage(ctx context.Context, keep int) ([]disk.Garbage, error) {
	out, err := u.lineages(ctx)
	if err != nil {
		return nil, err
	}
	rest, err := u.shelf.Garbage(ctx, keep)
	for _, g := range rest {
		whole := func(d disk.Garbage) bool { return d.Lineage == g.Lineage && g.Kind == disk.OldGeneration }
		if !slices.ContainsFunc(out, whole) {
			out = append(out, g)
		}
	}
	return out, err
}

func (u unused) lineages(ctx context.Context) ([]disk.Garbage, error) {
	out := []disk.Garbage{}
	if u.since.IsZero() {
		return out, nil
	}
	all, err := u.shelf.Lineages(ctx)
	if err != nil {
		return nil, err
	}
	copies, err := u.shelf.Copies(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if slices.ContainsFunc(copies, func(c disk.Copy) bool { return c.Lineage == l || c.Origin == l }) {
			continue
		}
		used, err := u.shelf.Used(ctx, l)
		if err != nil {
			return nil, err
		}
		if used.IsZero() || !used.Before(u.since) {
			continue
		}
		g := disk.Garbage{Kind: disk.UnusedDisk, Lineage: l}
		records, err := u.shelf.Records(ctx, l)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if r.Head || g.ID == "" {
				g.ID = r.ID
			}
			if n, err := u.shelf.Measure(ctx, l, r.ID); err == nil {
				g.Bytes += n
			}
		}
		out = append(out, g)
	}
	return out, nil
}

// collect removes a piece of garbage unless it has come into use meanwhile.
func (u unused) collect(ctx context.Context, g disk.Garbage) (gone bool, err error) {
	if g.Kind != disk.UnusedDisk {
		return u.shelf.Collect(ctx, g)
	}
	used, err := u.shelf.Used(ctx, g.Lineage)
	if err != nil || used.IsZero() || !used.Before(u.since) {
		return false, err
	}
	err = u.shelf.RemoveLineage(ctx, g.Lineage)
	if errors.Is(err, disk.ErrInUse) {
		return false, nil
	}
	return err == nil, err
}
