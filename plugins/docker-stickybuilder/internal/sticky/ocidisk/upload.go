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
	u := &uploader{disk: d, ctx: gctx, group: group, root: root, tree: scanned.Tree, first: parent == nil}
	err = u.contents(scanned, parent, base)
	if waitErr := group.Wait(); waitErr != nil {
		return nil, waitErr // the cause of what contents says
	}
	if err != nil {
		return nil, err
	}
	out := &uploaded{stats: scanned.Stats}
	if out.parts, err = treeindex.Encode(u.tree, endsDatabases); err != nil {
		return nil, err
	}
	layers, inline, err := u.index(ctx, out.parts, parent)
	if err != nil {
		return nil, err
	}
	packs, _ := u.tree.Packs()
	r := record{Generation: g, Entries: int64(len(u.tree.Entries)), Bytes: u.tree.Bytes()}
	if out.manifest, err = generationManifest(r, layers, packs, inline); err != nil {
		return nil, err
	}
	out.changed = u.total > 0
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
	first    bool  // there is no parent
	held     []blob

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
		if u.builders[e], err = chunk.NewBuilder(chunk.Encoding(e), u.disk.options.Pack, u.placed, u.send); err != nil {
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
		if err := u.compact(parent); err != nil {
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
	if _, ok := u.tree.Places[id]; !ok {
		u.tree.Places[id] = chunk.Location{} // on its way
	}
	return u.builders[encoding].Add(id, data)
}

func (u *uploader) placed(id chunk.ID, at chunk.Location) { u.tree.Places[id] = at }

// A blob is a pack or a part of the index that may go into the manifest.
type blob struct {
	digest digest.Digest
	data   []byte
}

func sizeOf(blobs []blob) (n int) {
	for _, b := range blobs {
		n += len(b.data)
	}
	return n
}

// send takes a pack over. It is held back while all there is may fit the manifest, and
// uploaded in the background otherwise; send waits while as many as may are under way.
func (u *uploader) send(p *chunk.Pack, data []byte) error {
	u.held = append(u.held, blob{digestOf(p), data})
	if u.first || u.fresh+p.Size > maxInline {
		u.release(u.group, u.ctx)
	}
	u.fresh += p.Size
	if u.ctx.Err() != nil {
		return context.Cause(u.ctx)
	}
	return nil
}

// release uploads what was held back.
func (u *uploader) release(group *errgroup.Group, ctx context.Context) {
	for _, b := range u.held {
		u.count(0, int64(len(b.data)))
		group.Go(func() error { return u.put(ctx, b.data) })
	}
	u.held = nil
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
// blob with the first generation. If that and the packs are so little that the manifest
// can hold them, they are returned instead.
func (u *uploader) index(ctx context.Context, parts [][]byte, parent *manifest) (layers []ocispec.Descriptor, inline map[digest.Digest][]byte, err error) {
	known := map[digest.Digest]bool{}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(u.disk.options.Jobs)
	if parent == nil {
		group.Go(func() error { return u.put(gctx, empty) })
	} else {
		for _, p := range parent.parts {
			known[p.Digest] = parent.inline[p.Digest] == nil
		}
	}
	layers = make([]ocispec.Descriptor, len(parts))
	for i, p := range parts {
		layers[i] = ocispec.Descriptor{MediaType: wire.MediaTypeDiskIndex, Digest: digest.FromBytes(p), Size: int64(len(p))}
		if !known[layers[i].Digest] {
			u.held = append(u.held, blob{layers[i].Digest, p})
		}
	}
	if parent != nil && u.total == 0 && sizeOf(u.held) <= maxInline {
		inline = map[digest.Digest][]byte{}
		for _, b := range u.held {
			inline[b.digest] = b.data
		}
		return layers, inline, nil
	}
	u.release(group, gctx)
	return layers, nil, group.Wait()
}
