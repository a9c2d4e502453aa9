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

type headFile struct {
	Format     int          `json:"format"`
	Lineage    disk.Lineage `json:"lineage"`
	Generation string       `json:"generation"`
}

// Head returns the current generation of a lineage, nil if there is none. An error that
// matches disk.ErrBad says that the next Clone moves the head to another one.
func (p *Pool) Head(_ context.Context, l disk.Lineage) (*disk.Generation, error) {
	g, err := p.head(l)
	if err != nil {
		return nil, fmt.Errorf("reading the head of %s: %w", l, err)
	}
	return g, nil
}

func (p *Pool) head(l disk.Lineage) (*disk.Generation, error) {
	id, err := p.headID(l)
	if err != nil || id == "" {
		return nil, err
	}
	g, err := p.meta(filepath.Join(p.generation(l, id), "meta.json"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrDamaged) {
		err = fmt.Errorf("generation %s: %w: %w", id, disk.ErrBad, err)
	}
	return g, err
}

// headID fails with disk.ErrBad if what is written down cannot be a head.
func (p *Pool) headID(l disk.Lineage) (string, error) {
	path := filepath.Join(p.lineage(l), "head.json")
	var h headFile
	err := durable.ReadJSON(path, &h)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if errors.Is(err, durable.ErrDamaged) {
		return "", fmt.Errorf("%w: %w", disk.ErrBad, err)
	}
	if err != nil {
		return "", err
	}
	if err := checkFormat(h.Format); err != nil {
		return "", err
	}
	if !disk.ValidID(h.Generation) || h.Lineage != l {
		return "", fmt.Errorf("%w: %s is damaged", disk.ErrBad, path)
	}
	return h.Generation, nil
}

func (p *Pool) meta(path string) (*disk.Generation, error) {
	var g disk.Generation
	if err := durable.ReadJSON(path, &g); err != nil {
		return nil, err
	}
	if err := checkFormat(g.Format); err != nil {
		return nil, err
	}
	if !disk.ValidID(g.ID) {
		return nil, fmt.Errorf("reading %s: %w", path, durable.ErrDamaged)
	}
	return &g, nil
}

// swapHead makes next the head if from, "" for none, still is. The caller holds
// the lineage's lock.
func (p *Pool) swapHead(l disk.Lineage, from, next string) error {
	now, err := p.headID(l)
	if err != nil && !errors.Is(err, disk.ErrBad) { // what cannot be read is none
		return err
	}
	if now != from {
		return fmt.Errorf("%w: the head is %s and no longer %s", disk.ErrConflict, orNone(now), orNone(from))
	}
	return durable.WriteJSON(filepath.Join(p.lineage(l), "head.json"), headFile{disk.Format, l, next}, 0o600)
}

type resetsFile struct {
	Count int `json:"count"`
}

// resets returns how often a lineage's head was moved by other than a commit.
func (p *Pool) resets(l disk.Lineage) (int, error) {
	var r resetsFile
	err := durable.ReadJSON(filepath.Join(p.lineage(l), "resets.json"), &r)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return r.Count, err
}

// countReset is called before such a move, with the lineage's lock held: a crash
// between the two costs a job the chance to take a head's place, and no more.
func (p *Pool) countReset(l disk.Lineage) error {
	n, err := p.resets(l)
	if err != nil {
		return err
	}
	return durable.WriteJSON(filepath.Join(p.lineage(l), "resets.json"), resetsFile{n + 1}, 0o600)
}

func orNone(id string) string {
	if id == "" {
		return "empty"
	}
	return id
}

func (p *Pool) makeLineage(l disk.Lineage) error {
	dir := p.lineage(l)
	if err := os.MkdirAll(filepath.Join(dir, "generations"), 0o700); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}
