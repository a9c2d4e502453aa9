package dirpool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Mark makes sure that no job clones a generation any more. If it is the head, the
// head moves to what disk.Fallback names, or the lineage is left without one. It
// returns the head's id after that.
func (p *Pool) Mark(ctx context.Context, l disk.Lineage, id, reason string) (head string, err error) {
	err = p.change(ctx, l, func() error {
		if !disk.ValidID(id) || !exists(p.generation(l, id)) {
			return fmt.Errorf("generation %s: %w", id, fs.ErrNotExist)
		}
		bad := disk.Bad{Reason: reason, Since: p.options.Now().UTC()}
		if err := durable.WriteJSON(filepath.Join(p.generation(l, id), "bad.json"), bad, 0o600); err != nil {
			return err
		}
		head, err = p.settle(ctx, l)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("marking %s of the disk %s: %w", id, l, err)
	}
	return head, nil
}

// SetHead moves the head from one generation to another if from, "" for none, is
// still the head, and else fails with disk.ErrConflict. A bad generation is
// refused with disk.ErrBad.
func (p *Pool) SetHead(ctx context.Context, l disk.Lineage, from, to string) error {
	err := p.change(ctx, l, func() error {
		if !disk.ValidID(to) || !exists(p.generation(l, to)) {
			return fmt.Errorf("generation %s: %w", to, fs.ErrNotExist)
		}
		switch bad, err := p.bad(l, to); {
		case err != nil:
			return err
		case bad != nil:
			return fmt.Errorf("generation %s: %w: %s", to, disk.ErrBad, bad.Reason)
		}
		if err := p.countReset(l); err != nil {
			return err
		}
		return p.swapHead(l, from, to)
	})
	if err != nil {
		return fmt.Errorf("moving the head of the disk %s: %w", l, err)
	}
	return nil
}

// change runs fn with the lineage's lock held.
func (p *Pool) change(ctx context.Context, l disk.Lineage, fn func() error) error {
	lock, err := p.lock(ctx, filepath.Join(p.lineage(l), "lock"), durable.Exclusive)
	if err != nil {
		return err
	}
	defer lock.Close()
	return fn()
}

// bad reads the mark of a generation, nil if it has none.
func (p *Pool) bad(l disk.Lineage, id string) (*disk.Bad, error) {
	var b disk.Bad
	err := durable.ReadJSON(filepath.Join(p.generation(l, id), "bad.json"), &b)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		// Whatever it says, somebody meant to mark it.
		return &disk.Bad{Reason: "its mark cannot be read"}, nil //nolint:nilerr // the mark's being there counts
	}
	return &b, nil
}

// flaw says why the head must not be cloned, "" if it may be.
func (p *Pool) flaw(l disk.Lineage) (head, why string, err error) {
	head, err = p.headID(l)
	switch {
	case errors.Is(err, disk.ErrBad):
		return "", "it cannot be read which one it is", nil
	case err != nil || head == "":
		return "", "", err
	}
	bad, err := p.bad(l, head)
	if err != nil {
		return head, "", err
	}
	if bad != nil {
		return head, bad.Reason, nil
	}
	switch _, err = p.head(l); {
	case errors.Is(err, fs.ErrNotExist):
		return head, "it is not there", nil
	case errors.Is(err, disk.ErrBad):
		return head, "its description cannot be read", nil
	}
	return head, "", err
}

// settle moves a head that is bad. The caller holds the lineage's lock. Mark does
// this at once; the next job does it for a Mark that was interrupted, and for a head that
// was damaged.
func (p *Pool) settle(ctx context.Context, l disk.Lineage) (head string, err error) {
	head, why, err := p.flaw(l)
	if err != nil || why == "" {
		return head, err
	}
	records, err := p.Records(ctx, l)
	if err != nil {
		return "", err
	}
	if err := p.countReset(l); err != nil {
		return "", err
	}
	if next := disk.Fallback(records, head); next != "" {
		return next, p.swapHead(l, head, next)
	}
	if err := os.Remove(filepath.Join(p.lineage(l), "head.json")); err != nil {
		return "", err
	}
	return "", durable.SyncDir(p.lineage(l))
}

// Remove removes a generation that is neither the head nor being cloned.
func (p *Pool) Remove(ctx context.Context, l disk.Lineage, id string) error {
	err := p.change(ctx, l, func() error {
		if !disk.ValidID(id) || !exists(p.generation(l, id)) {
			return fmt.Errorf("generation %s: %w", id, fs.ErrNotExist)
		}
		head, err := p.headID(l)
		if err != nil {
			return err
		}
		if head == id {
			return fmt.Errorf("%w: it is the head", disk.ErrInUse)
		}
		return p.removeGeneration(ctx, l, id)
	})
	if err != nil {
		return fmt.Errorf("removing %s of the disk %s: %w", id, l, err)
	}
	return nil
}

func (p *Pool) removeGeneration(ctx context.Context, l disk.Lineage, id string) error {
	dir := p.generation(l, id)
	if err := p.removeUnused(ctx, dir); err != nil {
		return err
	}
	if exists(dir) {
		return fault.Hint(fmt.Errorf("%w: a job clones it just now", disk.ErrInUse), "try again when that is done")
	}
	return nil
}

// RemoveLineage removes a head with all its generations, if no job has a working
// copy of it: such a job would find nothing to commit to.
func (p *Pool) RemoveLineage(ctx context.Context, l disk.Lineage) error {
	if err := p.removeLineage(ctx, l); err != nil {
		return fmt.Errorf("removing the disk %s: %w", l, err)
	}
	return nil
}

func (p *Pool) removeLineage(ctx context.Context, l disk.Lineage) error {
	gate, err := p.lock(ctx, p.file("lock"), durable.Exclusive) // nobody clones meanwhile
	if err != nil {
		return err
	}
	defer gate.Close()
	copies, err := p.Copies(ctx)
	if err != nil {
		return err
	}
	used := func(c disk.Copy) bool { return c.Lineage == l || c.Lineage == (disk.Lineage{}) && c.InUse }
	if at := slices.IndexFunc(copies, used); at >= 0 {
		if copies[at].InUse {
			return fault.Hint(fmt.Errorf("%w: by the working copy %s", disk.ErrInUse, copies[at].ID), "end its builder first: docker stickybuilder down")
		}
		return fault.Hint(fmt.Errorf("%w: a job died and left the working copy %s", disk.ErrInUse, copies[at].ID),
			"clean up first: docker stickybuilder recover, then docker stickybuilder disk gc")
	}
	dir := p.lineage(l)
	err = p.change(ctx, l, func() error {
		ids, err := p.Generations(ctx, l)
		if err != nil {
			return err
		}
		// The head last: whatever stops this, what it names is there.
		head, err := p.headID(l)
		if err != nil && !errors.Is(err, disk.ErrBad) {
			return err
		}
		for _, id := range ids {
			if id != head {
				if err := p.removeGeneration(ctx, l, id); err != nil {
					return err
				}
			}
		}
		if err := os.Remove(filepath.Join(dir, "head.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if head != "" && exists(p.generation(l, head)) {
			if err := p.removeGeneration(ctx, l, head); err != nil {
				return errors.Join(err, p.swapHead(l, "", head))
			}
		}
		return os.RemoveAll(dir)
	})
	return errors.Join(err, durable.SyncDir(p.file("lineages")))
}
