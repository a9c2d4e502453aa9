package ocidisk

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treefs"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A target is a place in a file where a chunk belongs.
type target struct {
	entry  int
	offset int64
}

// fill makes the files of a copy those of the tree, from the generation that it is a clone
// of and from packs, and returns what they are then. Packs are fetched while the
// files get their names.
func (d *Disk) fill(ctx context.Context, m *manifest, r *restoring, next *treeindex.Tree, meter *meter) ([]treefs.Stat, error) {
	old, err := d.baseTree(ctx, r)
	if err != nil {
		return nil, err
	}
	plan := treefs.Diff(old, next)
	a, err := treefs.NewApplier(r.Working.Root, next, plan)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	f := &filler{disk: d, inline: m.inline, applier: a, tree: next, targets: map[chunk.ID][]target{}, ready: make(chan struct{}), meter: meter}
	for _, n := range plan.Create {
		f.want(n)
	}
	g, gctx := errgroup.WithContext(ctx)
	writing, filled := context.WithCancel(gctx)
	g.Go(func() error { return f.writeBack(writing) })
	g.Go(func() error { return f.prepare(gctx, m.id(), r) })
	g.Go(func() error {
		defer filled()
		if old != nil { // and little is to be made
			if err := f.wait(gctx); err != nil {
				return err
			}
			if err := f.takeLocal(gctx, r.Base, old); err != nil {
				return err
			}
		}
		return f.takePacks(gctx, d.file("restore", m.id()+".packs"))
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return a.Finish(ctx)
}

// writeBackEvery is short beside the seconds that a fetch takes.
const writeBackEvery = 250 * time.Millisecond

// writeBack has the disk write while packs come, until the context ends: the snapshot
// that the job gets of the generation waits until everything is written, and the disk
// would have nothing to do before.
func (f *filler) writeBack(ctx context.Context) error {
	tick := time.NewTicker(writeBackEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := f.disk.pool.WriteBack(); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// prepare gives the files their names, unless a dead process has done that, and notes
// that.
func (f *filler) prepare(ctx context.Context, id string, r *restoring) error {
	if !r.noted {
		if err := f.applier.Structure(ctx); err != nil {
			return err
		}
		if err := durable.WriteJSON(f.disk.file("restore", id+".json"), r, 0o600); err != nil {
			return err
		}
		r.noted = true
	}
	close(f.ready)
	return nil
}

// wait returns when files have their names.
func (f *filler) wait(ctx context.Context) error {
	select {
	case <-f.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ahead reads a pack into memory until files have their names, so that the link is in use
// meanwhile.
func (f *filler) ahead(ctx context.Context, r io.Reader, size int64) (io.Reader, error) {
	var buf bytes.Buffer
	buf.Grow(int(size))
	for int64(buf.Len()) < size {
		select {
		case <-f.ready:
			return io.MultiReader(&buf, r), nil
		default:
		}
		_, err := io.CopyN(&buf, r, min(256<<10, size-int64(buf.Len())))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return &buf, f.wait(ctx)
}

type filler struct {
	disk    *Disk
	inline  map[digest.Digest][]byte
	applier *treefs.Applier
	tree    *treeindex.Tree
	ready   chan struct{} // closed when files have their names
	sizes   []chunk.ID    // of targets, in the order of the tree
	meter   *meter

	mu      sync.Mutex
	targets map[chunk.ID][]target // of what is not written
}

func (f *filler) want(n int) {
	var at int64
	for _, p := range f.tree.Entries[n].Content {
		at += p.Hole
		if _, ok := f.targets[p.ID]; !ok {
			f.sizes = append(f.sizes, p.ID)
		}
		f.targets[p.ID] = append(f.targets[p.ID], target{n, at})
		at += int64(p.Size)
	}
}

// write puts a chunk where it belongs, once: a pack that was torn is read again.
func (f *filler) write(w *treefs.Writer, id chunk.ID, data []byte) error {
	f.mu.Lock()
	targets := f.targets[id]
	delete(f.targets, id)
	f.mu.Unlock()
	for _, t := range targets {
		if err := w.WriteAt(t.entry, data, t.offset); err != nil {
			return registry.Permanent(err)
		}
	}
	return nil
}

// takeLocal copies the chunks that are in a generation of the pool. What does not have
// its digest there is fetched.
func (f *filler) takeLocal(ctx context.Context, base string, old *treeindex.Tree) error {
	root, lock, err := f.disk.pool.Hold(ctx, local(base), base)
	if err != nil {
		return nil // it is gone, and the registry has everything
	}
	defer lock.Close()
	w := f.applier.Writer()
	defer w.Close()
	for i := range old.Entries {
		e := &old.Entries[i]
		var at int64
		for _, p := range e.Content {
			at += p.Hole
			if _, ok := f.targets[p.ID]; ok {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if data := readAt(filepath.Join(root, e.Path), at, p.Size); data != nil && chunk.Sum(data) == p.ID {
					if err := f.write(w, p.ID, data); err != nil {
						return err
					}
				}
			}
			at += int64(p.Size)
		}
	}
	return nil
}

func readAt(path string, offset int64, size int) []byte {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer file.Close()
	data := make([]byte, size)
	if _, err := file.ReadAt(data, offset); err != nil {
		return nil
	}
	return data
}

// takePacks fetches all packs that hold something wanted, and notes each that is done
// with in a file, so that it is not fetched again.
func (f *filler) takePacks(ctx context.Context, journal string) error {
	done := map[chunk.ID]bool{}
	if text, err := os.ReadFile(journal); err == nil {
		for line := range bytes.Lines(text) {
			var id chunk.ID
			if n, err := hex.Decode(id[:], bytes.TrimSpace(line)); err == nil && n == len(id) {
				done[id] = true
			}
		}
	}
	log, err := os.OpenFile(journal, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	packs, wanted := f.plan(done)
	var noting sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(f.disk.options.Jobs)
	for _, p := range packs {
		g.Go(func() error {
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			read := func(r io.Reader) error {
				r, err := f.ahead(gctx, r, p.Size)
				if err != nil {
					return err
				}
				w := f.applier.Writer()
				defer w.Close()
				return chunk.Read(gctx, p, r, wanted[p.Digest], func(c chunk.Wanted, data []byte) error { return f.write(w, c.ID, data) })
			}
			if data := f.inline[digestOf(p)]; data != nil {
				return read(bytes.NewReader(data))
			}
			err := f.disk.client.GetBlob(gctx, digestOf(p).String(), func(n int) { f.meter.count("packs", n) }, read)
			if err != nil {
				return err
			}
			noting.Lock()
			defer noting.Unlock()
			_, err = fmt.Fprintln(log, p.Digest)
			return err
		})
	}
	return g.Wait()
}

// plan sorts the wanted chunks by pack.
func (f *filler) plan(done map[chunk.ID]bool) (packs []*chunk.Pack, wanted map[chunk.ID][]chunk.Wanted) {
	wanted = map[chunk.ID][]chunk.Wanted{}
	sizes := map[chunk.ID]int{}
	for i := range f.tree.Entries {
		for _, p := range f.tree.Entries[i].Content {
			sizes[p.ID] = p.Size
		}
	}
	var total int64
	for _, id := range f.sizes {
		at := f.tree.Places[id]
		if _, ok := f.targets[id]; !ok || done[at.Pack.Digest] {
			continue
		}
		if _, ok := wanted[at.Pack.Digest]; !ok {
			packs = append(packs, at.Pack)
			total += at.Pack.Size
		}
		wanted[at.Pack.Digest] = append(wanted[at.Pack.Digest], chunk.Wanted{ID: id, Offset: at.Offset, Size: sizes[id]})
	}
	f.meter.expect("packs", total)
	return slices.Clip(packs), wanted
}

// A meter adds up what is fetched and shows it.
type meter struct {
	step  progress.Step
	total atomic.Int64
	bytes atomic.Int64
}

func (m *meter) expect(_ string, n int64) { m.total.Add(n) }

func (m *meter) count(what string, n int) {
	if what == "packs" {
		m.step.Bytes("fetched", m.bytes.Add(int64(n)), m.total.Load())
	}
}
