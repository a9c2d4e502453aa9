package ocidisk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treefs"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A restoring is a generation on its way into the pool. It is written down once its
// files have their names; after that a dead process's work is gone on with, if the
// machine has not been booted since: what a process wrote outlives it, and not the
// machine.
type restoring struct {
	Working disk.Working `json:"working"`
	Base    string       `json:"base,omitempty"` // generation that the files were a clone of
	Boot    string       `json:"boot"`

	noted bool // it is written down
}

// restore fetches a generation into the pool, unless it is there. The caller holds
// the lineage's lock.
func (d *Disk) restore(ctx context.Context, m *manifest, step progress.Step) (err error) {
	if err := d.dropCrashed(ctx, m.id()); err != nil {
		return err
	}
	if d.has(ctx, m.id()) {
		return nil
	}
	meter := &meter{step: step}
	next, parts, err := d.loadTree(ctx, m, func(n int) { meter.count("index", n) })
	if err != nil {
		return err
	}
	if err := checkRoot(next); err != nil {
		return fmt.Errorf("%w: %w", disk.ErrBad, err)
	}
	r, lock, err := d.resume(ctx, m)
	if err != nil {
		return err
	}
	if r == nil {
		if r, lock, err = d.begin(ctx, m, next, step); err != nil {
			return err
		}
	}
	defer lock.Close()
	stats, err := d.fill(ctx, m, r, next, meter)
	if err != nil {
		full := errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
		if full {
			err = fault.Hint(fmt.Errorf("%w: %w", disk.ErrNoSpace, err), "free some space in %s", d.options.Dir)
		}
		if full || !r.noted { // what is there is in the way, or of no use
			if dropErr := d.pool.Discard(context.WithoutCancel(ctx), &r.Working); dropErr != nil {
				return errors.Join(err, dropErr)
			}
			d.forgetRestore(m.id())
		}
		return err
	}
	if err := d.saveTree(m, parts, stats); err != nil {
		return err
	}
	w := disk.Working{ID: m.id(), Root: r.Working.Root, Lineage: local(m.id())}
	if err := os.WriteFile(d.file("trees", m.id(), unsynced), []byte(bootID()), 0o600); err != nil {
		return err
	}
	if err := d.pool.Adopt(ctx, &w, m.record.Generation); err != nil {
		return err
	}
	d.forgetRestore(m.id())
	return nil
}

func (d *Disk) forgetRestore(id string) {
	os.Remove(d.file("restore", id+".json"))
	os.Remove(d.file("restore", id+".packs"))
}

// bootID is another one after each start of the machine.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// resume finds what a dead process has left of the same generation, nil if nothing.
func (d *Disk) resume(ctx context.Context, m *manifest) (*restoring, *durable.Lock, error) {
	var r restoring
	err := durable.ReadJSON(d.file("restore", m.id()+".json"), &r)
	if err == nil && r.Boot == bootID() && r.Boot != "" && r.Working.ID == m.id() && (r.Base == "" || (d.has(ctx, r.Base) && d.localManifest(r.Base) != nil)) {
		lock, err := d.pool.Reopen(ctx, &r.Working)
		if err == nil {
			r.noted = true
			return &r, lock, nil
		}
		if !errors.Is(err, disk.ErrGone) && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
	d.forgetRestore(m.id())
	return nil, nil, d.pool.Discard(ctx, &disk.Working{ID: m.id()})
}

// begin makes a clone of the nearest generation that is here, or an empty copy, if there
// is room for what is to come.
func (d *Disk) begin(ctx context.Context, m *manifest, next *treeindex.Tree, step progress.Step) (_ *restoring, _ *durable.Lock, err error) {
	r := &restoring{Base: d.nearest(ctx, m), Boot: bootID()}
	old, err := d.baseTree(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	at := local("none")
	if r.Base != "" {
		at = local(r.Base)
	}
	if d.halfway(ctx, m.id()) {
		if err := d.drop(ctx, m.id()); err != nil {
			return nil, nil, err
		}
	}
	w, lock, err := d.pool.Clone(ctx, local(m.id()), at, m.id(), step)
	if err != nil {
		return nil, nil, err
	}
	if err := d.checkSpace(w, treefs.Diff(old, next), next); err != nil {
		err = errors.Join(err, d.pool.Discard(context.WithoutCancel(ctx), w))
		lock.Close()
		return nil, nil, err
	}
	r.Working = *w
	return r, lock, nil
}

// baseTree is what the files were a clone of, nil if they were none.
func (d *Disk) baseTree(ctx context.Context, r *restoring) (*treeindex.Tree, error) {
	if r.Base == "" {
		return nil, nil
	}
	t, _, err := d.loadTree(ctx, d.localManifest(r.Base), nil)
	return t, err
}

// nearest is the generation in the pool that has the most packs in common with m.
func (d *Disk) nearest(ctx context.Context, m *manifest) (best string) {
	lineages, err := d.pool.Lineages(ctx)
	if err != nil {
		return ""
	}
	most := 0
	for _, l := range lineages {
		id := strings.TrimPrefix(l.Key, localKey)
		other := d.localManifest(id)
		if other == nil || d.dropCrashed(ctx, id) != nil || !d.has(ctx, id) {
			continue
		}
		common := 0
		for p := range other.packs {
			if m.packs[p] {
				common++
			}
		}
		if common > most {
			best, most = other.id(), common
		}
	}
	return best
}

// checkSpace asks the filesystem of the copy, and the one that holds the pool's file if
// that is another.
func (d *Disk) checkSpace(w *disk.Working, plan treefs.Plan, next *treeindex.Tree) error {
	need := tree.Size{Entries: int64(len(plan.Create))}
	for _, n := range plan.Create {
		for _, p := range next.Entries[n].Content {
			need.Bytes += int64(p.Size)
		}
	}
	for _, dir := range []string{w.Root, d.options.Dir} {
		free, err := tree.Free(dir)
		if err != nil {
			return err
		}
		if err := free.Short(need); err != nil {
			return fault.Hint(fmt.Errorf("%w for the generation: %w", disk.ErrNoSpace, err), "free some space in %s, or set XDG_STATE_HOME to where there is more", d.options.Dir)
		}
	}
	return nil
}
