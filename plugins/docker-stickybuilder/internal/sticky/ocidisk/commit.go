package ocidisk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A pending generation is in the pool, and not or not completely in the registry.
type pending struct {
	Generation disk.Generation `json:"generation"`
	Base       string          `json:"base,omitempty"`
	Same       bool            `json:"same"` // the copy had the inodes of the generation that it was of
	Note       copyFile        `json:"note"`
}

// Commit makes the copy a generation of the pool, and then one of the registry. If the
// latter fails, the error matches disk.ErrPending: the generation is safe here, Push or
// the lineage's next job on this machine uploads it, and the head is as it was.
func (d *Disk) Commit(ctx context.Context, w *disk.Working, g disk.Generation, rule disk.Rule) (disk.Generation, error) {
	g = w.Describe(g, d.options.Now())
	if err := d.commit(ctx, w, g, rule); err != nil {
		return g, fmt.Errorf("committing the disk %s: %w", w.Lineage, d.explain(err))
	}
	return g, nil
}

func (d *Disk) commit(ctx context.Context, w *disk.Working, g disk.Generation, rule disk.Rule) error {
	busy, err := d.lock(ctx, w.Lineage)
	if err != nil {
		return err
	}
	defer busy.Close()
	p := pending{Generation: g, Base: w.Base(), Same: w.Clone.Entries == 0}
	// Without the note, all that the registry has counts as new.
	_ = durable.ReadJSON(d.file("copies", w.ID+".json"), &p.Note)
	if err := durable.WriteJSON(d.file("pending", g.ID+".json"), p, 0o600); err != nil {
		return err
	}
	inPool := disk.Working{ID: w.ID, Root: w.Root, Lineage: local(w.ID)}
	if _, err := d.pool.Commit(ctx, &inPool, g, nil); err != nil {
		os.Remove(d.file("pending", g.ID+".json"))
		return err
	}
	d.synced()
	if err := d.push(ctx, p, rule); err != nil {
		if errors.Is(err, disk.ErrConflict) {
			return err
		}
		return fault.Hint(fmt.Errorf("%w: %w", disk.ErrPending, d.explain(err)),
			"it is kept on this machine; upload it with: docker stickybuilder disk push --disk oci:%s", d.client)
	}
	return nil
}

// Pending lists the generations that the registry does not have yet, the oldest first.
func (d *Disk) Pending() ([]disk.Generation, error) {
	all, err := d.pending()
	out := make([]disk.Generation, len(all))
	for i, p := range all {
		out[i] = p.Generation
	}
	return out, err
}

func (d *Disk) pending() (out []pending, err error) {
	names, err := filepath.Glob(d.file("pending", "*.json"))
	slices.Sort(names)
	for _, n := range names {
		var p pending
		readErr := durable.ReadJSON(n, &p)
		switch {
		case errors.Is(readErr, fs.ErrNotExist): // uploaded meanwhile
		case readErr != nil:
			err = errors.Join(err, readErr)
		case p.Generation.ID == strings.TrimSuffix(filepath.Base(n), ".json") && disk.ValidID(p.Generation.ID):
			out = append(out, p)
		}
	}
	return out, err
}

// Push uploads a generation that is pending, and makes it the head if that still is
// what the generation was made of; else disk.ErrConflict.
func (d *Disk) Push(ctx context.Context, id string) error {
	all, err := d.pending()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(p pending) bool { return p.Generation.ID == id })
	if at < 0 {
		return fmt.Errorf("uploading generation %s: %w", id, fs.ErrNotExist)
	}
	busy, err := d.lock(ctx, all[at].Generation.Lineage)
	if err != nil {
		return err
	}
	defer busy.Close()
	if !d.isPending(id) {
		return nil // somebody else has uploaded it
	}
	if err := d.push(ctx, all[at], nil); err != nil {
		return fmt.Errorf("uploading generation %s: %w", id, d.explain(err))
	}
	return nil
}

// pushPending uploads what earlier jobs of the lineage could not. Failing that is
// no reason not to begin a new one.
func (d *Disk) pushPending(ctx context.Context, l disk.Lineage, step progress.Step) {
	all, err := d.pending()
	for _, p := range all {
		if p.Generation.Lineage != l {
			continue
		}
		if pushErr := d.push(ctx, p, nil); pushErr != nil && !errors.Is(pushErr, disk.ErrConflict) {
			err = errors.Join(err, pushErr)
			continue
		}
		fmt.Fprintf(step, "generation %s of an earlier job was uploaded\n", p.Generation.ID)
	}
	if err != nil {
		fmt.Fprintf(step, "uploading what an earlier job left: %v\n", err)
	}
}

// push uploads a generation of the pool. The caller holds the lineage's lock. The
// generation is pending until this is done, also if it loses against another one.
func (d *Disk) push(ctx context.Context, p pending, rule disk.Rule) error {
	g := p.Generation
	root, held, err := d.pool.Hold(ctx, local(g.ID), g.ID)
	if errors.Is(err, fs.ErrNotExist) {
		// The process died between noting the generation and committing it.
		os.Remove(d.file("pending", g.ID+".json"))
	}
	if err != nil {
		return err
	}
	defer held.Close()
	parent, base := d.parent(ctx, p)
	up, err := d.upload(ctx, root, g, parent, base)
	if err != nil {
		return err
	}
	if err := d.saveTree(up.manifest, up.parts, up.stats); err != nil {
		return err
	}
	err = d.publish(ctx, claim{up.manifest, g.Lineage, p.Base, p.Note.Known, p.Note.Resets, rule})
	if refusesBlobs(err) && parent != nil {
		// What the parent had is not in the registry any more: upload everything.
		if up, err = d.upload(ctx, root, g, nil, base); err != nil {
			return err
		}
		if err := d.saveTree(up.manifest, up.parts, up.stats); err != nil {
			return err
		}
		err = d.publish(ctx, claim{up.manifest, g.Lineage, p.Base, p.Note.Known, p.Note.Resets, rule})
	}
	if err != nil && !errors.Is(err, disk.ErrConflict) {
		return err
	}
	os.Remove(d.file("pending", g.ID+".json"))
	os.Remove(d.file("copies", g.ID+".json"))
	os.Remove(d.file("copies", g.ID+".stats"))
	// The commit stands, whatever becomes of old generations.
	if up.changed || len(p.Note.Known) > 3*d.options.Keep {
		_ = d.collectOld(ctx, g.Lineage)
	}
	return err
}
