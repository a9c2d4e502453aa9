package ocidisk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treefs"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A copyFile is what a commit has to know of the time when its copy was made.
type copyFile struct {
	Known  []string `json:"known"` // tags of the copy's lineage
	Resets int      `json:"resets"`
}

// Clone gives the caller a working copy of from's head, which is fetched first if it
// is not here already.
func (d *Disk) Clone(ctx context.Context, l, from disk.Lineage, id string, step progress.Step) (*disk.Working, *durable.Lock, error) {
	w, lock, err := d.clone(ctx, l, from, id, step)
	if err != nil {
		return nil, nil, fmt.Errorf("cloning the disk %s of %s: %w", from, d.client, d.explain(err))
	}
	return w, lock, nil
}

func (d *Disk) clone(ctx context.Context, l, from disk.Lineage, id string, step progress.Step) (_ *disk.Working, _ *durable.Lock, err error) {
	began := d.options.Now()
	busy, err := d.lock(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	defer busy.Close()
	d.pushPending(ctx, from, step)

	note, source, err := d.look(ctx, l, from, step)
	if err != nil {
		return nil, nil, err
	}
	at := local("none")
	var restored time.Duration
	if source != nil {
		asked := d.options.Now()
		if source, err = d.fetch(ctx, from, source, step); err != nil {
			return nil, nil, err
		}
		restored = d.options.Now().Sub(asked)
		at = local(source.id())
		d.touch(source.id())
	}
	w, lock, err := d.pool.Clone(ctx, l, at, id, step)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.pool.Discard(context.WithoutCancel(ctx), w))
			lock.Close()
		}
	}()
	if err := d.baseline(ctx, w, source); err != nil {
		return nil, nil, err
	}
	if err := durable.WriteJSON(d.file("copies", id+".json"), note, 0o600); err != nil {
		return nil, nil, err
	}
	clone := *w
	clone.Parent, clone.Origin, clone.Chain, clone.Resets = "", disk.Lineage{}, nil, note.Resets
	if source != nil {
		clone.From(&source.record.Generation)
	}
	clone.Clone.Milliseconds, clone.Clone.RestoreMilliseconds = d.options.Now().Sub(began).Milliseconds(), restored.Milliseconds()
	return &clone, lock, nil
}

// look reads what there is of both lineages: the head of one, moved if it is bad, and
// the tags of the other.
func (d *Disk) look(ctx context.Context, l, from disk.Lineage, step progress.Step) (note copyFile, source *manifest, err error) {
	var mine, theirs listing
	var damaged error
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { mine, err = d.list(gctx, l); return err })
	g.Go(func() (err error) {
		if source, err = d.head(gctx, from); errors.Is(err, disk.ErrBad) {
			damaged, err = err, nil
		}
		return err
	})
	if from != l {
		g.Go(func() (err error) { theirs, err = d.list(gctx, from); return err })
	}
	if err := g.Wait(); err != nil {
		return note, nil, err
	}
	if from == l {
		theirs = mine
	}
	if damaged != nil {
		if source, err = d.mend(ctx, from, theirs, damaged, step); err != nil {
			return note, nil, err
		}
		if from == l {
			if mine, err = d.list(ctx, l); err != nil {
				return note, nil, err
			}
		}
	}
	if source.record != nil && theirs.bad[source.id()] { // a Mark was interrupted
		next, err := d.settle(ctx, from, theirs, source.id())
		if err != nil {
			return note, nil, err
		}
		fmt.Fprintf(step, "the head %s is bad: it is %s now\n", source.id(), orNone(next))
		if source, err = d.head(ctx, from); err != nil {
			return note, nil, err
		}
		if from == l {
			if mine, err = d.list(ctx, l); err != nil {
				return note, nil, err
			}
		}
	}
	if source.record == nil {
		source = nil
	}
	return copyFile{mine.tags, mine.resets}, source, nil
}

// mend makes the newest sound generation the head, where the tag of that has something that
// cannot be understood, and returns it. Where the head cannot be moved, as with read access
// alone, it is what the copy begins with nevertheless. If no generation can be understood
// either, that is no disk's fault, and nothing is changed.
func (d *Disk) mend(ctx context.Context, l disk.Lineage, now listing, damaged error, step progress.Step) (*manifest, error) {
	_, _, records, err := d.records(ctx, l)
	if err != nil {
		return nil, err
	}
	next := disk.Fallback(records, "")
	if next == "" {
		return nil, fault.Hint(damaged, "is that the registry, or something between here and there that answers in its place? if the disk is of no use any more, remove it: docker stickybuilder disk rm --all; or begin another one with --key")
	}
	if err := d.setHead(ctx, l, now, next); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		fmt.Fprintf(step, "the head cannot be understood, and cannot be moved: %v\n", d.explain(err))
	} else {
		fmt.Fprintf(step, "the head cannot be understood: it is %s now\n", orNone(next))
	}
	g, err := now.must(l, next)
	if err != nil {
		return nil, err
	}
	return d.generation(ctx, l, g)
}

// fetch makes sure that a head is in the pool. A head that is collected meanwhile has a
// successor, which is returned. A disk.Spoilt says that the registry does not have it as it
// was committed.
func (d *Disk) fetch(ctx context.Context, l disk.Lineage, m *manifest, step progress.Step) (*manifest, error) {
	for try := 0; ; try++ {
		err := d.restore(ctx, m, step)
		if err == nil {
			return m, nil
		}
		if errors.Is(err, disk.ErrBad) || errors.Is(err, chunk.ErrCorrupt) {
			return nil, spoilt(l, m, err)
		}
		if !errors.Is(err, registry.ErrNotFound) || try >= 2 {
			return nil, err
		}
		next, headErr := d.head(ctx, l)
		switch {
		case headErr != nil || next.record == nil:
			return nil, errors.Join(err, headErr)
		case next.id() == m.id():
			return nil, spoilt(l, m, err)
		}
		m = next
	}
}

// spoilt makes an error of restore a disk.Spoilt, if it is about what the registry has.
func spoilt(l disk.Lineage, m *manifest, err error) error {
	if errors.Is(err, disk.ErrBad) || errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, registry.ErrNotFound) {
		return &disk.Spoilt{Lineage: l, ID: m.id(), Err: err}
	}
	return err
}

// baseline keeps what tells an untouched file of the copy. A copy that was made entry by
// entry has other inodes than the generation that it is of.
func (d *Disk) baseline(ctx context.Context, w *disk.Working, source *manifest) error {
	if source == nil || w.Clone.Entries == 0 {
		return nil
	}
	t, _, err := d.loadTree(ctx, source, nil)
	if err != nil {
		return err
	}
	stats, err := treefs.Stats(ctx, w.Root, t)
	if err != nil {
		return err
	}
	return saveStats(d.file("copies", w.ID+".stats"), stats)
}

// Reopen takes over a copy whose holder has died.
func (d *Disk) Reopen(ctx context.Context, w *disk.Working) (*durable.Lock, error) {
	return d.pool.Reopen(ctx, w)
}

// Discard removes the copy; one that is gone is no error.
func (d *Disk) Discard(ctx context.Context, w *disk.Working) error {
	os.Remove(d.file("copies", w.ID+".json"))
	os.Remove(d.file("copies", w.ID+".stats"))
	return d.pool.Discard(ctx, w)
}
