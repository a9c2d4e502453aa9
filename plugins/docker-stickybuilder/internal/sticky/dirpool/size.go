package dirpool

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
)

// sizeFile is in the directory of a generation, which never changes, once that was
// measured here: on a big disk it takes seconds.
type sizeFile struct {
	Bytes int64 `json:"bytes"`
}

// Measure returns how many bytes the files of a generation or of a working copy
// take up. Those that it shares with others count in full. A generation is measured
// once: by the job that wrote it, or here.
func (p *Pool) Measure(ctx context.Context, l disk.Lineage, id string) (int64, error) {
	dir := p.generation(l, id)
	if l == (disk.Lineage{}) || !exists(dir) {
		return measure(ctx, p.work(id))
	}
	return p.size(ctx, dir)
}

// size measures the generation in dir, or reads what was noted before.
func (p *Pool) size(ctx context.Context, dir string) (int64, error) {
	path := filepath.Join(dir, "size.json")
	var s sizeFile
	if durable.ReadJSON(path, &s) == nil && s.Bytes > 0 {
		return s.Bytes, nil
	}
	if g, err := p.meta(filepath.Join(dir, "meta.json")); err == nil && g.Bytes > 0 {
		return g.Bytes, nil
	}
	n, err := measure(ctx, dir)
	if err == nil && n > 0 {
		// Where it cannot be noted, it is measured again.
		_ = durable.WriteJSON(path, sizeFile{n}, 0o600)
	}
	return n, err
}

// measure takes a root for empty that is being removed meanwhile, or of what is no copy.
func measure(ctx context.Context, dir string) (int64, error) {
	size, err := tree.Measure(ctx, filepath.Join(dir, "root"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		err = nil
	}
	return size.Bytes, err
}
