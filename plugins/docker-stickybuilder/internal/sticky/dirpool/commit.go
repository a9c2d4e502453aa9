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
// If another job moved the head first, rule is asked which of the two is to be the
// head; the other one is kept beside it. If the head stays, the error matches
// disk.ErrConflict. After any other error the copy is where it was and the head is
// as it was.
func (p *Pool) Commit(ctx context.Context, w *disk.Working, g disk.Generation, rule disk.Rule) (disk.Generation, error) {
	g = w.Describe(g, p.options.Now())
	// buildkitd does not sync its cache database, nor the snapshots' files.
	err := present(p.work(w.ID))
	if err == nil {
		err = durable.SyncFilesystem(p.work(w.ID))
	}
	if err == nil {
		err = p.commit(ctx, w, g, rule)
	}
	if err != nil {
		return g, fmt.Errorf("committing the disk %s: %w", w.Lineage, err)
	}
	return g, nil
}

// Adopt is Commit for what can be had again: the files are not made permanent, and
// whoever has put them there gives them up after the machine has crashed.
func (p *Pool) Adopt(ctx context.Context, w *disk.Working, g disk.Generation) error {
	if err := p.commit(ctx, w, w.Describe(g, p.options.Now()), nil); err != nil {
		return fmt.Errorf("keeping the disk %s: %w", w.Lineage, err)
	}
	return nil
}

func (p *Pool) commit(ctx context.Context, w *disk.Working, g disk.Generation, rule disk.Rule) error {
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
	if err := p.publish(w, g, rule); err != nil {
		if errors.Is(err, disk.ErrConflict) {
			return errors.Join(err, p.collect(ctx, w.Lineage))
		}
		return errors.Join(err, p.takeBack(w))
	}
	// The commit stands, whatever becomes of the old generations: the next job
	// collects what this one could not.
	_ = p.collect(ctx, w.Lineage)
	return nil
}

// takeBack makes a generation a working copy again, unless the head names it already: its
// file can be there although it is not known to be on the disk.
func (p *Pool) takeBack(w *disk.Working) error {
	if id, err := p.headID(w.Lineage); err != nil || id == w.ID {
		return err
	}
	return os.Rename(p.generation(w.Lineage, w.ID), p.work(w.ID))
}

func (p *Pool) publish(w *disk.Working, g disk.Generation, rule disk.Rule) error {
	target := p.generation(w.Lineage, w.ID)
	if err := errors.Join(durable.SyncDir(filepath.Dir(target)), durable.SyncDir(p.file("work"))); err != nil {
		return err
	}
	if err := p.backend.seal(filepath.Join(target, "root")); err != nil {
		return err
	}
	err := p.swapHead(w.Lineage, w.Base(), w.ID)
	if !errors.Is(err, disk.ErrConflict) || rule == nil {
		return err
	}
	return p.contend(w, g, rule, err)
}

// contend puts g in the place of the head that won the race, if rule wants so and
// nobody has moved the head on purpose since the copy was made.
func (p *Pool) contend(w *disk.Working, g disk.Generation, rule disk.Rule, conflict error) error {
	resets, err := p.resets(w.Lineage)
	if err != nil {
		return err
	}
	head, err := p.head(w.Lineage)
	if err != nil {
		return err
	}
	if head == nil || resets != w.Resets || !rule(g, *head) {
		return conflict
	}
	return p.swapHead(w.Lineage, head.ID, w.ID)
}

// Discard moves the working copy into the trash. One that is gone already is no error.
func (p *Pool) Discard(ctx context.Context, w *disk.Working) error {
	err := p.toss(ctx, p.work(w.ID))
	if errors.Is(err, errNoSpace) {
		err = p.removeInPlace(ctx, p.work(w.ID))
	}
	if err != nil {
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
	lock, err := p.lock(ctx, filepath.Join(p.work(w.ID), "lock"), durable.Exclusive)
	if errors.Is(err, fs.ErrNotExist) { // while it was waited for
		err = disk.ErrGone
	}
	return lock, err
}

func present(dir string) error {
	_, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return disk.ErrGone
	}
	return err
}
