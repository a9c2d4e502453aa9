package ocidisk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// Mark makes sure that no job clones a generation any more, and returns the head's id
// after that.
func (d *Disk) Mark(ctx context.Context, l disk.Lineage, id, reason string) (head string, err error) {
	err = d.change(ctx, l, func() error {
		now, err := d.list(ctx, l)
		if err != nil {
			return err
		}
		if _, err := now.must(l, id); err != nil {
			return err
		}
		text, err := json.Marshal(disk.Bad{Reason: reason, Since: d.options.Now().UTC()})
		if err != nil {
			return err
		}
		note, err := marker(l, string(text))
		if err != nil {
			return err
		}
		if err := d.client.PutManifest(ctx, badTag(l, id), note); err != nil {
			return err
		}
		now.bad[id] = true
		head, err = d.settle(ctx, l, now, id)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("marking %s of the disk %s: %w", id, l, d.explain(err))
	}
	return head, nil
}

// mark reads what was written down with a generation's mark.
func (d *Disk) mark(ctx context.Context, l disk.Lineage, id string) (*disk.Bad, error) {
	raw, _, err := d.client.GetManifest(ctx, badTag(l, id))
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	bad := &disk.Bad{Reason: "its mark cannot be read"} // whatever it says, somebody meant to mark it
	if json.Unmarshal(raw, &m) == nil {
		_ = json.Unmarshal([]byte(m.Annotations[wire.AnnotationDiskMark]), bad)
	}
	bad.Reason = disk.CleanKey(bad.Reason)
	return bad, nil
}

// settle moves the head if it is the bad generation. The caller holds the lineage's lock.
func (d *Disk) settle(ctx context.Context, l disk.Lineage, now listing, bad string) (head string, err error) {
	m, err := d.head(ctx, l)
	if errors.Is(err, disk.ErrBad) {
		return "", nil // the next Clone mends it
	}
	if err != nil || m.id() != bad {
		return m.id(), err
	}
	_, _, records, err := d.records(ctx, l)
	if err != nil {
		return "", err
	}
	next := disk.Fallback(records, bad)
	return next, d.setHead(ctx, l, now, next)
}

// Remove removes a generation that is neither the head nor in use on this machine.
// Elsewhere a job that is fetching it finds it gone, and begins again with the head.
func (d *Disk) Remove(ctx context.Context, l disk.Lineage, id string) error {
	err := d.change(ctx, l, func() error {
		now, err := d.list(ctx, l)
		if err != nil {
			return err
		}
		g, err := now.must(l, id)
		if err != nil {
			return err
		}
		head, err := d.head(ctx, l)
		if err != nil {
			return err
		}
		if head.id() == id {
			return fmt.Errorf("%w: it is the head", disk.ErrInUse)
		}
		return d.remove(ctx, l, now, g)
	})
	if err != nil {
		return fmt.Errorf("removing %s of the disk %s: %w", id, l, d.explain(err))
	}
	return nil
}

// remove takes a generation out of the pool, unless somebody reads it there, and then
// out of the registry.
func (d *Disk) remove(ctx context.Context, l disk.Lineage, now listing, g listed) error {
	if err := d.drop(ctx, g.id); err != nil {
		return err
	}
	if err := d.deleteTag(ctx, g.tag); err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.manifests, g.tag)
	d.mu.Unlock()
	if now.bad[g.id] {
		_ = d.deleteTag(ctx, badTag(l, g.id))
	}
	return nil
}

// RemoveLineage removes a head with all its generations, if no job of this machine has
// a working copy of it.
func (d *Disk) RemoveLineage(ctx context.Context, l disk.Lineage) error {
	err := d.change(ctx, l, func() error { return d.removeLineage(ctx, l) })
	if err != nil {
		return fmt.Errorf("removing the disk %s: %w", l, d.explain(err))
	}
	return nil
}

func (d *Disk) removeLineage(ctx context.Context, l disk.Lineage) error {
	copies, err := d.Copies(ctx)
	if err != nil {
		return err
	}
	if at := slices.IndexFunc(copies, func(c disk.Copy) bool { return c.Lineage == l }); at >= 0 {
		return fault.Hint(fmt.Errorf("%w: by the working copy %s", disk.ErrInUse, copies[at].ID),
			"end its builder first: docker stickybuilder down; or, if that has died: docker stickybuilder recover")
	}
	now, err := d.list(ctx, l)
	if err != nil {
		return err
	}
	for _, g := range now.generations {
		if err := d.drop(ctx, g.id); err != nil {
			return err
		}
	}
	// The head first: what it names is there for whoever reads it before.
	if err := d.deleteTag(ctx, headTag(l)); err != nil {
		return err
	}
	for _, g := range now.generations {
		if err := d.remove(ctx, l, now, g); err != nil {
			return err
		}
	}
	for _, t := range now.tags {
		if !strings.HasPrefix(t, lineagePrefix(l)+"gen-") {
			if err := d.deleteTag(ctx, t); err != nil {
				return err
			}
		}
	}
	return nil
}
