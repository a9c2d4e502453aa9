package ocidisk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

func notThere(l disk.Lineage, id string) error {
	return fmt.Errorf("generation %s of %s: %w", id, l, fs.ErrNotExist)
}

// Lineages lists what the repository has heads or generations of, in their order.
func (d *Disk) Lineages(ctx context.Context) ([]disk.Lineage, error) {
	tags, err := d.client.Tags(ctx, tagPrefix)
	if err != nil {
		return nil, fmt.Errorf("listing disk %s: %w", d.client, d.explain(err))
	}
	const prefix = len(tagPrefix) + 32 + 1
	best := map[string]string{} // a tag that names its lineage
	for _, t := range tags {
		if len(t) > prefix && strings.HasPrefix(t[prefix:], "gen-") {
			best[t[:prefix]] = t
		}
	}
	found := make([]disk.Lineage, len(best))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(d.options.Jobs)
	i := 0
	for p, t := range best {
		at := i
		i++
		g.Go(func() error {
			m, err := d.read(gctx, t)
			if errors.Is(err, registry.ErrNotFound) {
				return nil // removed meanwhile
			}
			if err != nil {
				return err
			}
			if m.record != nil && lineagePrefix(m.record.Lineage) == p {
				found[at] = m.record.Lineage
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("listing disk %s: %w", d.client, d.explain(err))
	}
	found = slices.DeleteFunc(found, func(l disk.Lineage) bool { return l == disk.Lineage{} })
	slices.SortFunc(found, disk.Lineage.Compare)
	return found, nil
}

// Generations lists the ids of a lineage's generations in the order of their commits.
func (d *Disk) Generations(ctx context.Context, l disk.Lineage) (ids []string, err error) {
	now, err := d.list(ctx, l)
	for _, g := range now.generations {
		ids = append(ids, g.id)
	}
	return ids, err
}

// Records describes a lineage's generations, the oldest first.
func (d *Disk) Records(ctx context.Context, l disk.Lineage) ([]disk.Record, error) {
	_, _, records, err := d.records(ctx, l)
	return records, err
}

func (d *Disk) records(ctx context.Context, l disk.Lineage) (now listing, head string, out []disk.Record, err error) {
	if now, err = d.list(ctx, l); err != nil {
		return now, "", nil, err
	}
	m, err := d.head(ctx, l)
	if err != nil && !errors.Is(err, disk.ErrBad) { // what cannot be understood is none
		return now, "", nil, err
	}
	head = m.id()
	out = make([]disk.Record, len(now.generations))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(d.options.Jobs)
	for i, one := range now.generations {
		g.Go(func() (err error) { out[i], err = d.record(gctx, l, one, now.bad[one.id]); return err })
	}
	if err := g.Wait(); err != nil {
		return now, head, nil, fmt.Errorf("listing the generations of %s: %w", l, d.explain(err))
	}
	for i := range out {
		out[i].Head = out[i].ID == head
	}
	out = slices.DeleteFunc(out, func(r disk.Record) bool { return r.ID == "" })
	slices.SortFunc(out, func(a, b disk.Record) int { return strings.Compare(a.ID, b.ID) })
	return now, head, out, nil
}

// record describes one generation; one whose manifest cannot be understood is bad, and
// one that was removed meanwhile has no id.
func (d *Disk) record(ctx context.Context, l disk.Lineage, one listed, bad bool) (r disk.Record, err error) {
	m, err := d.generation(ctx, l, one)
	var refused *registry.Error
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return disk.Record{}, nil
	case errors.As(err, &refused), errors.Is(err, disk.ErrNewer), ctx.Err() != nil:
		return r, err
	case err != nil:
		r.Generation = disk.Generation{ID: one.id, Lineage: l, Created: one.created}
		r.Bad = &disk.Bad{Reason: "its manifest cannot be read"}
		return r, nil //nolint:nilerr // that is what is reported
	}
	r.Generation = m.record.Generation
	if bad {
		r.Bad, err = d.mark(ctx, l, one.id)
	}
	return r, err
}

// Copies lists the working copies on this machine, the oldest first.
func (d *Disk) Copies(ctx context.Context) ([]disk.Copy, error) {
	all, err := d.pool.Copies(ctx)
	out := all[:0]
	for _, c := range all {
		if strings.HasPrefix(c.Lineage.Key, localKey) {
			continue // a generation that is being fetched
		}
		if strings.HasPrefix(c.Origin.Key, localKey) {
			if m := d.localManifest(c.Parent); m != nil && m.record.Lineage != c.Lineage {
				c.Origin = m.record.Lineage
			} else {
				c.Origin = disk.Lineage{}
			}
		}
		out = append(out, c)
	}
	return out, err
}

// Measure returns the bytes of a generation's files or, if there is no such generation,
// of a working copy's.
func (d *Disk) Measure(ctx context.Context, l disk.Lineage, id string) (int64, error) {
	if l != (disk.Lineage{}) {
		now, err := d.list(ctx, l)
		if err != nil {
			return 0, err
		}
		if g := now.find(id); g != nil {
			m, err := d.generation(ctx, l, *g)
			if err != nil {
				return 0, nil //nolint:nilerr // Records says what is wrong with it
			}
			return m.record.Bytes, nil
		}
	}
	return d.pool.Measure(ctx, disk.Lineage{}, id)
}

// Hold returns a generation's directory on this machine, where it is fetched to if need
// be, and which stays until the lock is closed.
func (d *Disk) Hold(ctx context.Context, l disk.Lineage, id string) (string, *durable.Lock, error) {
	now, err := d.list(ctx, l)
	if err != nil {
		return "", nil, err
	}
	g, err := now.must(l, id)
	if err != nil {
		return "", nil, err
	}
	busy, err := d.lock(ctx, l)
	if err != nil {
		return "", nil, err
	}
	defer busy.Close()
	m, err := d.generation(ctx, l, g)
	if err == nil {
		err = spoilt(l, m, d.restore(ctx, m, progress.Discard.Step("")))
	}
	if err != nil {
		return "", nil, fmt.Errorf("fetching generation %s: %w", id, d.explain(err))
	}
	return d.pool.Hold(ctx, local(id), id)
}

// SetHead moves the head if it still is from.
func (d *Disk) SetHead(ctx context.Context, l disk.Lineage, from, to string) error {
	err := d.change(ctx, l, func() error {
		now, err := d.list(ctx, l)
		if err != nil {
			return err
		}
		if _, err := now.must(l, to); err != nil {
			return err
		}
		if now.bad[to] {
			return fmt.Errorf("generation %s: %w", to, disk.ErrBad)
		}
		head, err := d.head(ctx, l)
		if err != nil && !errors.Is(err, disk.ErrBad) {
			return err
		}
		if head.id() != from {
			return fmt.Errorf("%w: the head is %s and no longer %s", disk.ErrConflict, orNone(head.id()), orNone(from))
		}
		return d.setHead(ctx, l, now, to)
	})
	if err != nil {
		return fmt.Errorf("moving the head of the disk %s: %w", l, d.explain(err))
	}
	return nil
}

// change runs fn with the lineage's lock held.
func (d *Disk) change(ctx context.Context, l disk.Lineage, fn func() error) error {
	busy, err := d.lock(ctx, l)
	if err != nil {
		return err
	}
	defer busy.Close()
	return fn()
}

var errNoDelete = errors.New("the registry does not delete manifests")

// deleteTag removes a tag and its manifest.
func (d *Disk) deleteTag(ctx context.Context, tag string) error {
	_, digest, err := d.client.GetManifest(ctx, tag)
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	byDigest := d.client.Delete(ctx, digest)
	// Some registries keep the tags of a manifest that is gone, some delete only these.
	byTag := d.client.Delete(ctx, tag)
	if byDigest != nil && byTag != nil {
		if errors.Is(byDigest, registry.ErrUnsupported) {
			return fault.Hint(fmt.Errorf("%w: %w", errNoDelete, byDigest), "let the registry's own retention rules remove tags that begin with %sgen-", lineageOf(tag))
		}
		return byDigest
	}
	return nil
}

func lineageOf(tag string) string {
	if n := len(tagPrefix) + 32 + 1; len(tag) >= n {
		return tag[:n]
	}
	return tag
}
