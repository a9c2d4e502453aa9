package ocidisk

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
)

// Snapshot lends a second working copy, of what w holds at one moment.
func (d *Disk) Snapshot(ctx context.Context, w *disk.Working, id string, pause disk.Pause) (*disk.Working, *durable.Lock, error) {
	twin, lock, err := d.pool.Snapshot(ctx, w, id, pause)
	if err != nil {
		return nil, nil, err
	}
	for _, suffix := range []string{".json", ".stats"} {
		note, readErr := os.ReadFile(d.file("copies", w.ID+suffix))
		if errors.Is(readErr, fs.ErrNotExist) || (suffix == ".stats" && twin.Clone.Entries > 0) {
			continue // it has other inodes, so all of its files are read
		}
		if err = errors.Join(readErr, os.WriteFile(d.file("copies", id+suffix), note, 0o600)); err != nil {
			err = errors.Join(err, d.Discard(context.WithoutCancel(ctx), twin))
			lock.Close()
			return nil, nil, err
		}
	}
	return twin, lock, nil
}

// Continue notes that what the copy held was committed as g, and that the copy goes on
// as a clone of g.
func (d *Disk) Continue(ctx context.Context, w *disk.Working, g disk.Generation) error {
	here, inPool := *w, g
	inPool.Lineage = local(g.ID)
	if err := d.pool.Continue(ctx, &here, inPool); err != nil {
		return err
	}
	// What has come to the registry since the copy was made is known now, the generation
	// itself above all.
	var note copyFile
	if err := durable.ReadJSON(d.file("copies", w.ID+".json"), &note); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now, err := d.list(ctx, w.Lineage)
	if err != nil {
		return err
	}
	note.Known = now.tags
	if err := os.Remove(d.file("copies", w.ID+".stats")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.Continue(g)
	return durable.WriteJSON(d.file("copies", w.ID+".json"), note, 0o600)
}
