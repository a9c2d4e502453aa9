package ocidisk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treefs"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// An uploaded generation is in the registry but for its manifest.
type uploaded struct {
	manifest *manifest
	parts    [][]byte
	stats    []treefs.Stat
	changed  bool // something was sent
}

// parent returns the generation that a pending one was made of, as it is in the
// registry, and what its files were when the copy was made. Either may be nil: then more
// is read or sent.
func (d *Disk) parent(ctx context.Context, p pending) (*manifest, *treefs.Baseline) {
	id := p.Generation.Parent
	if id == "" {
		return nil, nil
	}
	m := d.localManifest(id)
	if m == nil || d.isPending(id) {
		return nil, nil
	}
	t, _, err := d.loadTree(ctx, m, nil)
	if err != nil {
		return nil, nil
	}
	stats := d.file("copies", p.Generation.ID+".stats")
	if p.Same {
		stats = d.file("trees", id, "stats")
	}
	return m, &treefs.Baseline{Tree: t, Stats: loadStats(stats)}
}

// refusesBlobs reports whether a registry did not take a manifest because a blob of it
// is not there (distribution-spec, MANIFEST_BLOB_UNKNOWN).
func refusesBlobs(err error) bool {
	var refused *registry.Error
	return errors.As(err, &refused) && refused.Method == http.MethodPut && (refused.Status == http.StatusNotFound || refused.Status == http.StatusBadRequest)
}

// upload sends what the registry does not have of the tree at root. What is in the
// parent is there already.
func (d *Disk) upload(ctx context.Context, root string, g disk.Generation, parent *manifest, base *treefs.Baseline) (*uploaded, error) {
	scanned, err := treefs.Scan(ctx, root, base, notState)
	if err != nil {
		return nil, err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(d.options.Jobs)
	u := &uploader{disk: d, ctx: gctx, group: group, root: root, tree: scanned.Tree}
	err = u.contents(scanned, parent, base)
	if waitErr := group.Wait(); waitErr != nil {
		return nil, waitErr // the cause of what contents says
	}
	if err != nil {
		return nil, err
	}
	out := &uploaded{stats: scanned.Stats}
	if out.parts, err = treeindex.Encode(u.tree); err != nil {
		return nil, err
	}
	layers, err := u.index(ctx, out.parts, parent)
	if err != nil {
		return nil, err
	}
	packs, _ := u.tree.Packs()
	r := record{Generation: g, Entries: int64(len(u.tree.Entries)), Bytes: u.tree.Bytes()}
	if out.manifest, err = generationManifest(r, layers, packs); err != nil {
		return nil, err
	}
	out.changed = u.sent > 0
	return out, nil
}

type uploader struct {
	disk  *Disk
	ctx   context.Context
	group *errgroup.Group
	root  string
	tree  *treeindex.Tree

	builders [2]*chunk.Builder
	cutter   chunk.Cutter
	fresh    int64 // bytes of packs that were made

	mu    sync.Mutex
	sent  int64
	total int64
}

// contents cuts changed files, and sends the chunks that the parent does not have.
func (u *uploader) contents(s *treefs.Scanned, parent *manifest, base *treefs.Baseline) error {
	u.tree.Places = map[chunk.ID]chunk.Location{}
	if base != nil && parent != nil {
		for i := range base.Tree.Entries {
			for _, p := range base.Tree.Entries[i].Content {
				u.tree.Places[p.ID] = base.Tree.Places[p.ID]
			}
		}
	}
	for e := range u.builders {
		var err error
		if u.builders[e], err = chunk.NewBuilder(chunk.Encoding(e), u.send); err != nil {
			return err
		}
	}
	todo := s.Changed
	if parent == nil { // what is untouched has to be sent all the same
		todo = nil
		for i := range s.Tree.Entries {
			if s.Tree.Entries[i].Kind == treeindex.File && s.Tree.Entries[i].Size > 0 {
				todo = append(todo, i)
			}
		}
	}
	for _, n := range todo {
		if err := u.file(&s.Tree.Entries[n]); err != nil {
			return err
		}
	}
	for _, b := range u.builders {
		if err := b.Flush(); err != nil {
			return err
		}
	}
	if parent != nil {
		if err := u.compact(); err != nil {
			return err
		}
	}
	for _, b := range u.builders {
		if err := b.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (u *uploader) file(e *treeindex.Entry) error {
	f, err := os.Open(filepath.Join(u.root, e.Path))
	if err != nil {
		return err
	}
	defer f.Close()
	class := classOf(e.Path)
	e.Content = nil
	var end int64
	return treefs.Extents(f, e.Size, func(from, to int64) error {
		at := from
		err := u.cutter.Cut(io.NewSectionReader(f, from, to-from), class, func(data []byte) error {
			if u.ctx.Err() != nil {
				return context.Cause(u.ctx)
			}
			id := chunk.Sum(data)
			e.Content = append(e.Content, treeindex.Piece{Hole: at - end, Size: len(data), ID: id})
			at += int64(len(data))
			end = at
			if _, ok := u.tree.Places[id]; ok {
				return nil
			}
			return u.add(id, data, class)
		})
		if err == nil && at != to {
			err = fmt.Errorf("reading %s: %w", f.Name(), io.ErrUnexpectedEOF)
		}
		return err
	})
}

func (u *uploader) add(id chunk.ID, data []byte, class chunk.Class) error {
	encoding := chunk.Zstd
	if class == chunk.Blob {
		encoding = chunk.Stored
	}
	at, err := u.builders[encoding].Add(data)
	u.tree.Places[id] = at
	return err
}

// send uploads a pack in the background; it waits while as many as may are under way.
func (u *uploader) send(p *chunk.Pack, blob []byte) error {
	u.fresh += p.Size
	u.count(0, p.Size)
	u.group.Go(func() error { return u.put(u.ctx, blob) })
	if u.ctx.Err() != nil {
		return context.Cause(u.ctx)
	}
	return nil
}

func (u *uploader) put(ctx context.Context, blob []byte) error {
	_, uploaded, err := u.disk.client.PutBlob(ctx, blob, func(n int) { u.count(int64(n), 0) })
	if err == nil && !uploaded {
		u.count(int64(len(blob)), 0)
	}
	return err
}

func (u *uploader) count(sent, total int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent += sent
	u.total += total
	if u.disk.options.Progress != nil {
		u.disk.options.Progress(u.sent, u.total)
	}
}

// index uploads the parts of the tree index that the parent does not have, and the empty
// blob with the first generation.
func (u *uploader) index(ctx context.Context, parts [][]byte, parent *manifest) ([]ocispec.Descriptor, error) {
	known := map[digest.Digest]bool{}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(u.disk.options.Jobs)
	if parent == nil {
		group.Go(func() error { return u.put(gctx, empty) })
	} else {
		for _, p := range parent.parts {
			known[p.Digest] = true
		}
	}
	layers := make([]ocispec.Descriptor, len(parts))
	for i, p := range parts {
		layers[i] = ocispec.Descriptor{MediaType: wire.MediaTypeDiskIndex, Digest: digest.FromBytes(p), Size: int64(len(p))}
		if !known[layers[i].Digest] {
			u.count(0, int64(len(p)))
			group.Go(func() error { return u.put(gctx, p) })
		}
	}
	return layers, group.Wait()
}
