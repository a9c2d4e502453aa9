package dirpool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Clone gives the caller a working copy of from's head under the given id, or an
// empty one if there is no head. It is to be committed to l. The returned lock
// protects it from being swept; whoever uses the copy holds it. After an error
// nothing is left.
//
// A head that does not fit gives disk.ErrNoSpace before anything is copied.
func (p *Pool) Clone(ctx context.Context, l, from disk.Lineage, id string, step progress.Step) (w *disk.Working, lock *durable.Lock, err error) {
	defer func() {
		if errors.Is(err, errNoSpace) && !errors.Is(err, disk.ErrNoSpace) {
			err = fault.Hint(fmt.Errorf("%w: %w", disk.ErrNoSpace, err), "collect garbage: docker stickybuilder disk gc --keep 1; or name a pool elsewhere with --disk dir:PATH")
		}
		if err != nil {
			err = fmt.Errorf("cloning the disk %s: %w", from, err)
		}
	}()
	if !disk.ValidID(id) {
		return nil, nil, fmt.Errorf("invalid id %q", id)
	}
	if err := p.makeRoom(ctx, p.room); err != nil {
		return nil, nil, err
	}
	// What was removed a moment ago counts as free before it can be used: btrfs and
	// xfs take it apart in the background.
	const tries, pause = 10, 100 * time.Millisecond
	for n := 1; ; n++ {
		w, lock, err = p.clone(ctx, l, from, id, step)
		full := errors.Is(err, errNoSpace) && !errors.Is(err, disk.ErrNoSpace)
		if !full || n == tries || ctx.Err() != nil {
			return w, lock, err
		}
		if err := errors.Join(p.tidy(ctx, p.options.Wait), p.backend.reclaim(ctx, p.dir)); err != nil {
			return nil, nil, err
		}
		time.Sleep(pause)
	}
}

// clone is Clone, once.
func (p *Pool) clone(ctx context.Context, l, from disk.Lineage, id string, step progress.Step) (_ *disk.Working, _ *durable.Lock, err error) {
	resets, err := p.resets(l) // before the head is read, so that no reset is missed
	if err != nil {
		return nil, nil, err
	}
	source, held, err := p.pin(ctx, from, step)
	if err != nil {
		return nil, nil, err
	}
	defer held.Close()

	dir := p.work(id)
	lock, err := p.claim(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
			// Not the command's context: it may be what failed.
			err = errors.Join(err, p.removeCopy(context.WithoutCancel(ctx), dir))
		}
	}()
	w := &disk.Working{ID: id, Root: filepath.Join(dir, "root"), Lineage: l, Resets: resets, Backing: p.backing()}
	began := p.options.Now()
	w.From(source)
	if err = p.note(w); err != nil {
		return nil, nil, err
	}
	if source == nil {
		w.Clone.Method = "empty"
		err = p.backend.create(w.Root)
	} else {
		w.Clone, err = p.cloneTree(ctx, w.Root, filepath.Join(p.generation(from, source.ID), "root"), step)
	}
	if err != nil {
		return nil, nil, err
	}
	w.Clone.Why = p.why
	w.Clone.Milliseconds = p.options.Now().Sub(began).Milliseconds()
	return w, lock, nil
}

// claim makes the directory of a working copy and takes its lock, in one step as
// far as Sweep can see.
func (p *Pool) claim(ctx context.Context, dir string) (*durable.Lock, error) {
	gate, err := p.lock(ctx, p.file("lock"), durable.Shared)
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, writable(err)
	}
	return p.lock(ctx, filepath.Join(dir, "lock"), durable.Exclusive)
}

// pin returns the head with its lock held, so that it is not collected while it
// is being cloned; nil and nil if there is no head.
func (p *Pool) pin(ctx context.Context, l disk.Lineage, step progress.Step) (*disk.Generation, *durable.Lock, error) {
	for range 10 {
		if err := p.avoidBad(ctx, l, step); err != nil {
			return nil, nil, err
		}
		g, err := p.head(l)
		if g == nil && err == nil {
			return nil, nil, nil
		}
		var lock *durable.Lock
		if err == nil {
			lock, err = p.lock(ctx, filepath.Join(p.generation(l, g.ID), "lock"), durable.Shared)
		}
		if err == nil {
			if _, err = os.Stat(filepath.Join(p.generation(l, g.ID), "meta.json")); err == nil {
				p.touch(l, g.ID)
				return g, lock, nil
			}
			lock.Close()
		}
		// Collected between reading the head and locking it: there is a newer one.
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
	return nil, nil, fault.Hint(errors.New("the head does not come to rest: its generation is collected again and again"), "try again")
}

// avoidBad moves a head that was marked as bad, or was damaged.
func (p *Pool) avoidBad(ctx context.Context, l disk.Lineage, step progress.Step) error {
	id, why, err := p.flaw(l)
	if err != nil || why == "" {
		return err
	}
	return p.change(ctx, l, func() error {
		next, err := p.settle(ctx, l)
		if err == nil {
			fmt.Fprintf(step, "the head %s cannot be cloned (%s): it is %s now\n", id, why, orNone(next))
		}
		return err
	})
}

func (p *Pool) cloneTree(ctx context.Context, dst, src string, step progress.Step) (disk.Clone, error) {
	c := disk.Clone{Method: p.backend.method(src)}
	var total tree.Size
	if c.Method == "copy" {
		var err error
		if total, err = tree.Measure(ctx, src); err != nil {
			return c, err
		}
		if err := p.makeRoom(ctx, func() error {
			free, err := tree.Free(p.dir)
			if err != nil {
				return err
			}
			return free.Short(total)
		}); err != nil {
			return c, fault.Hint(fmt.Errorf("%w for a copy: %w", disk.ErrNoSpace, err),
				"free some space, name a pool elsewhere with --disk dir:PATH, or put the pool on btrfs or xfs, where nothing is copied")
		}
	}
	size, err := p.backend.clone(ctx, dst, src, func(_, moved int64) { step.Bytes("copied", moved, total.Bytes) })
	if errors.Is(err, errNoSpace) {
		err = fmt.Errorf("%w: %w", disk.ErrNoSpace, err)
	}
	c.Entries, c.Bytes = size.Entries, size.Bytes
	return c, err
}
