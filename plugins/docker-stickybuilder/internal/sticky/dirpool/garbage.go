package dirpool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
)

// Garbage lists what nothing refers to: generations beyond keep for each lineage,
// bad ones and then the oldest first and never the head; working copies whose jobs have
// died; what interrupted removals left.
func (p *Pool) Garbage(ctx context.Context, keep int) ([]disk.Garbage, error) {
	var out []disk.Garbage
	lineages, err := p.Lineages(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range lineages {
		head, err := p.headID(l)
		if errors.Is(err, disk.ErrBad) {
			continue // any may be the head
		}
		if err != nil {
			return nil, err
		}
		ids, err := p.Generations(ctx, l)
		if err != nil {
			return nil, err
		}
		for _, id := range surplus(p.worstFirst(l, ids), head, keep) {
			out = append(out, disk.Garbage{Kind: disk.OldGeneration, ID: id, Lineage: l})
		}
	}
	copies, err := p.Copies(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		if !c.InUse {
			out = append(out, disk.Garbage{Kind: disk.StaleCopy, ID: c.ID, Lineage: c.Lineage})
		}
	}
	trash, err := os.ReadDir(p.file("trash"))
	if err != nil {
		return nil, err
	}
	for _, t := range trash {
		out = append(out, disk.Garbage{Kind: disk.Leftover, ID: t.Name()})
	}
	for i, g := range out {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		weigh := measure
		if g.Kind == disk.OldGeneration {
			weigh = p.size
		}
		if out[i].Bytes, err = weigh(ctx, p.place(g)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p *Pool) place(g disk.Garbage) string {
	switch g.Kind {
	case disk.OldGeneration:
		return p.generation(g.Lineage, g.ID)
	case disk.StaleCopy:
		return p.work(g.ID)
	}
	return p.file("trash", filepath.Base(g.ID))
}

// Collect removes a piece of garbage unless it has come into use meanwhile. It
// reports whether it is gone.
func (p *Pool) Collect(ctx context.Context, g disk.Garbage) (gone bool, err error) {
	switch {
	case g.Kind == disk.Leftover:
		err = p.removeTree(ctx, p.place(g))
	case !disk.ValidID(g.ID):
		err = fmt.Errorf("invalid id %q", g.ID)
	case g.Kind == disk.OldGeneration:
		err = p.Remove(ctx, g.Lineage, g.ID)
	default:
		var gate *durable.Lock
		if gate, err = p.lock(ctx, p.file("lock"), durable.Exclusive); err == nil {
			err = p.removeUnused(ctx, p.place(g))
			gate.Close()
		}
	}
	if errors.Is(err, disk.ErrInUse) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("collecting %s %s: %w", g.Kind, g.ID, err)
	}
	return !exists(p.place(g)), nil
}
