package dirpool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
)

// Commit makes the working copy a generation described by g, whose ID, Parent,
// Lineage, Format and Created it fills in, and moves the lineage's head to it.
// Nothing may use the copy any more.
//
// If another job moved the head first, the new generation is kept beside it, the
// head stays, and the error matches disk.ErrConflict. After any other error the
// copy is where it was and the head is as it was.
func (p *Pool) Commit(ctx context.Context, w *disk.Working, g disk.Generation) (disk.Generation, error) {
	g.Format, g.ID, g.Parent, g.Lineage, g.Created = disk.Format, w.ID, w.Parent, w.Lineage, p.options.Now().UTC()
	if err := p.commit(ctx, w, g); err != nil {
		return g, fmt.Errorf("committing the disk %s: %w", w.Lineage, err)
	}
	return g, nil
}

func (p *Pool) commit(ctx context.Context, w *disk.Working, g disk.Generation) error {
	work, target := p.work(w.ID), p.generation(w.Lineage, w.ID)
	if err := present(work); err != nil {
		return err
	}
	if err := p.makeLineage(w.Lineage); err != nil {
		return err
	}
	if err := durable.WriteJSON(filepath.Join(work, "meta.json"), g, 0o600); err != nil {
		return err
	}
	// buildkitd does not sync its cache database, nor the snapshots' files.
	if err := durable.SyncFilesystem(work); err != nil {
		return err
	}
	lock, err := p.lock(ctx, filepath.Join(p.lineage(w.Lineage), "lock"), durable.Exclusive)
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := p.settle(ctx, w.Lineage); err != nil {
		return err
	}
	if err := os.Rename(work, target); err != nil {
		return err
	}
	// The job still holds the copy's lock; those who clone the generation must
	// not wait for it.
	if err := os.Remove(filepath.Join(target, "lock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, os.Rename(target, work))
	}
	_ = os.Remove(filepath.Join(target, "copy.json"))
	if err := p.publish(w, target); err != nil {
		if errors.Is(err, disk.ErrConflict) {
			return errors.Join(err, p.collect(ctx, w.Lineage))
		}
		return errors.Join(err, os.Rename(target, work))
	}
	// The commit stands, whatever becomes of the old generations: the next job
	// collects what this one could not.
	_ = p.collect(ctx, w.Lineage)
	return nil
}

func (p *Pool) publish(w *disk.Working, target string) error {
	if err := errors.Join(durable.SyncDir(filepath.Dir(target)), durable.SyncDir(p.file("work"))); err != nil {
		return err
	}
	if err := p.backend.seal(filepath.Join(target, "root")); err != nil {
		return err
	}
	return p.swapHead(w.Lineage, w.Parent, w.ID)
}

// Discard removes the working copy. One that is gone already is no error.
func (p *Pool) Discard(ctx context.Context, w *disk.Working) error {
	if err := p.remove(ctx, p.work(w.ID)); err != nil {
		return fmt.Errorf("discarding the working copy %s: %w", w.ID, err)
	}
	return nil
}

// Reopen returns the working copy of the given id that another process made, with
// its lock held. It waits for that process's hold of the lock to end. A copy that
// was removed or committed meanwhile gives disk.ErrGone.
func (p *Pool) Reopen(ctx context.Context, w *disk.Working) (*durable.Lock, error) {
	if err := present(p.work(w.ID)); err != nil {
		return nil, err
	}
	return p.lock(ctx, filepath.Join(p.work(w.ID), "lock"), durable.Exclusive)
}

func present(dir string) error {
	_, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return disk.ErrGone
	}
	return err
}
