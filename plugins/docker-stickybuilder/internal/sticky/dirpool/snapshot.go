package dirpool

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Snapshot lends a second working copy, of what the copy w holds at one moment
// although somebody writes to it, under the given id. pause makes the writers stand
// still; they do so for as long as the second copy is being made, which is until the
// context that it is given ends at the latest. The error matches disk.ErrSlow if
// that was not long enough.
func (p *Pool) Snapshot(ctx context.Context, w *disk.Working, id string, pause disk.Pause) (_ *disk.Working, _ *durable.Lock, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("copying the working copy %s: %w", w.ID, err)
		}
	}()
	if !disk.ValidID(id) {
		return nil, nil, fmt.Errorf("invalid id %q", id)
	}
	if err := errors.Join(p.room(), present(p.work(w.ID))); err != nil {
		return nil, nil, err
	}
	dir := p.work(id)
	lock, err := p.claim(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
			err = errors.Join(err, p.removeCopy(context.WithoutCancel(ctx), dir))
		}
	}()
	twin := *w
	twin.ID, twin.Root, twin.Backing = id, filepath.Join(dir, "root"), p.backing()
	if err := p.note(&twin); err != nil {
		return nil, nil, err
	}
	// What is dirty now need not be written while they stand still.
	if err := durable.SyncFilesystem(w.Root); err != nil {
		return nil, nil, err
	}
	if err := p.standstill(ctx, &twin, w.Root, pause); err != nil {
		return nil, nil, err
	}
	return &twin, lock, nil
}

func (p *Pool) standstill(ctx context.Context, twin *disk.Working, root string, pause disk.Pause) error {
	ctx, cancel := context.WithTimeout(ctx, pause.Most)
	defer cancel()
	began := p.options.Now()
	resume, err := pause.Begin(ctx)
	defer resume()
	if err != nil {
		return err
	}
	twin.Clone = disk.Clone{Method: p.backend.method(root), Why: p.why}
	size, err := p.backend.clone(ctx, twin.Root, root, func(int64, int64) {})
	twin.Clone.Entries, twin.Clone.Bytes = size.Entries, size.Bytes
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) && err != nil {
		return fault.Hint(fmt.Errorf("%w: builds would stand still for more than %s, since the pool makes copies by %s", disk.ErrSlow, pause.Most, twin.Clone.Method),
			"let them stand still for longer with --max-pause, or have the pool on btrfs")
	}
	twin.Clone.Milliseconds = p.options.Now().Sub(began).Milliseconds()
	return err
}

// Continue notes that what the copy held was committed as g, and that the copy goes on
// as a clone of g.
func (p *Pool) Continue(_ context.Context, w *disk.Working, g disk.Generation) error {
	w.Continue(g)
	return p.note(w)
}

// note writes down what a working copy is.
func (p *Pool) note(w *disk.Working) error {
	return durable.WriteJSON(filepath.Join(p.work(w.ID), "copy.json"), copyFile{disk.Format, w.Lineage, w.Parent, w.Origin, p.options.Now().UTC()}, 0o600)
}
