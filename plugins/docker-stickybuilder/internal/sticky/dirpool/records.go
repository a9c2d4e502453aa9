package dirpool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
)

// Lineages lists what the pool has heads or generations of, in their order.
func (p *Pool) Lineages(context.Context) ([]disk.Lineage, error) {
	dirs, err := os.ReadDir(p.file("lineages"))
	if err != nil {
		return nil, err
	}
	var out []disk.Lineage
	for _, d := range dirs {
		l, err := p.describe(p.file("lineages", d.Name()))
		if err != nil {
			return nil, fmt.Errorf("listing disk pool %s: %w", p.dir, err)
		}
		if l != nil {
			out = append(out, *l)
		}
	}
	slices.SortFunc(out, disk.Lineage.Compare)
	return out, nil
}

// describe finds out which lineage a directory belongs to: by its head, or by
// one of its generations if it has lost that. nil means that it is empty.
func (p *Pool) describe(dir string) (*disk.Lineage, error) {
	var h headFile
	err := durable.ReadJSON(filepath.Join(dir, "head.json"), &h)
	if err == nil && checkFormat(h.Format) != nil {
		return nil, checkFormat(h.Format)
	}
	if err == nil && p.lineage(h.Lineage) == dir {
		return &h.Lineage, nil
	}
	metas, globErr := filepath.Glob(filepath.Join(dir, "generations", "*", "meta.json"))
	for _, m := range metas {
		if g, err := p.meta(m); err == nil && p.lineage(g.Lineage) == dir {
			return &g.Lineage, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return nil, errors.Join(err, globErr)
}

// Records describes a lineage's generations, the oldest first. One whose own
// description cannot be read is bad.
func (p *Pool) Records(ctx context.Context, l disk.Lineage) ([]disk.Record, error) {
	ids, err := p.Generations(ctx, l)
	if err != nil {
		return nil, err
	}
	head, err := p.headID(l)
	if err != nil && !errors.Is(err, disk.ErrBad) { // what cannot be read is none
		return nil, err
	}
	var out []disk.Record
	for _, id := range ids {
		r := disk.Record{Head: id == head}
		g, err := p.meta(filepath.Join(p.generation(l, id), "meta.json"))
		switch {
		case errors.Is(err, fs.ErrNotExist) && !exists(p.generation(l, id)):
			continue // collected meanwhile
		case errors.Is(err, disk.ErrNewer):
			return nil, fmt.Errorf("reading generation %s: %w", id, err)
		case err != nil || g.ID != id || g.Lineage != l:
			r.Generation = disk.Generation{ID: id, Lineage: l, Created: idTime(id)}
			if st, err := os.Stat(p.generation(l, id)); err == nil && st.ModTime().After(r.Created) {
				r.Created = st.ModTime().UTC() // of the commit, about; an id tells when its job began
			}
			r.Bad = &disk.Bad{Reason: "its description cannot be read"}
		default:
			r.Generation = *g
			if r.Bad, err = p.bad(l, id); err != nil {
				return nil, err
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// idTime is the time that an id begins with.
func idTime(id string) time.Time {
	t, _ := time.Parse("20060102T150405Z", id[:16])
	return t
}

// Hold returns the directory of a generation, which is not collected until the
// lock is closed.
func (p *Pool) Hold(ctx context.Context, l disk.Lineage, id string) (string, *durable.Lock, error) {
	dir := p.generation(l, id)
	if !disk.ValidID(id) || !exists(dir) {
		return "", nil, fmt.Errorf("generation %s of %s: %w", id, l, fs.ErrNotExist)
	}
	lock, err := p.lock(ctx, filepath.Join(dir, "lock"), durable.Shared)
	if err == nil && !exists(dir) { // removed between the two
		lock.Close()
		return "", nil, fmt.Errorf("generation %s of %s: %w", id, l, fs.ErrNotExist)
	}
	return filepath.Join(dir, "root"), lock, err
}

// copyFile is what a working copy says of itself.
type copyFile struct {
	Format  int          `json:"format"`
	Lineage disk.Lineage `json:"lineage"`
	Parent  string       `json:"parent,omitempty"`
	Origin  disk.Lineage `json:"origin,omitzero"`
	Created time.Time    `json:"created"`
}

// Copies lists the working copies, the oldest first.
func (p *Pool) Copies(ctx context.Context) ([]disk.Copy, error) {
	dirs, err := os.ReadDir(p.file("work"))
	if err != nil {
		return nil, err
	}
	var out []disk.Copy
	for _, d := range dirs {
		if !disk.ValidID(d.Name()) {
			continue
		}
		c := disk.Copy{ID: d.Name(), Created: idTime(d.Name())}
		var f copyFile
		if durable.ReadJSON(filepath.Join(p.work(c.ID), "copy.json"), &f) == nil && f.Format <= disk.Format {
			c.Lineage, c.Parent, c.Origin, c.Created = f.Lineage, f.Parent, f.Origin, f.Created
		}
		if c.InUse, err = held(ctx, p.work(c.ID)); err != nil {
			return nil, err
		}
		if exists(p.work(c.ID)) {
			out = append(out, c)
		}
	}
	return out, nil
}

// held reports whether somebody holds the lock of dir for himself alone.
func held(ctx context.Context, dir string) (bool, error) {
	lock, err := durable.TakeLock(ctx, filepath.Join(dir, "lock"), durable.Shared, 0)
	switch {
	case errors.Is(err, durable.ErrLocked):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, lock.Close()
}
