package ocidisk

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
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
	_, file := d.pool.Place()
	a, err := treefs.NewApplier(r.Working.Root, next, plan, treefs.ApplyOptions{Direct: file != ""})
	if err != nil {
		return nil, err
	}
	defer a.Close()
	f := &filler{disk: d, inline: m.inline, applier: a, tree: next, targets: map[chunk.ID][]target{}, ready: make(chan struct{}), busy: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), meter: meter}
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

type filler struct {
	disk    *Disk
	inline  map[digest.Digest][]byte
	applier *treefs.Applier
	tree    *treeindex.Tree
	ready   chan struct{} // closed when files have their names
	busy    chan struct{} // has one for each part that is being decoded and written
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

// write puts chunks that lie next to each other in data where they belong, each once: a pack
// that was torn is read again. What follows each other in a file too is written in one go.
func (f *filler) write(w *treefs.Writer, run []chunk.Wanted, data []byte) error {
	type stretch struct {
		target
		pieces, from, to int
	}
	var open []stretch // those that the chunk before has ended
	flush := func(stretches []stretch) error {
		for _, s := range stretches {
			if err := w.WriteAt(s.entry, s.pieces, data[s.from:s.to], s.offset); err != nil {
				return registry.Permanent(err)
			}
		}
		return nil
	}
	at := 0
	for _, c := range run {
		var next []stretch
		for _, t := range f.claim(c.ID) {
			s := stretch{t, 1, at, at + c.Size}
			for i, o := range open {
				if o.entry == t.entry && o.offset+int64(o.to-o.from) == t.offset {
					s = stretch{o.target, o.pieces + 1, o.from, s.to}
					open = slices.Delete(open, i, i+1)
					break
				}
			}
			next = append(next, s)
		}
		if err := flush(open); err != nil {
			return err
		}
		open, at = next, at+c.Size
	}
	return flush(open)
}

// claim returns where a chunk belongs, to the first who asks.
func (f *filler) claim(id chunk.ID) []target {
	f.mu.Lock()
	defer f.mu.Unlock()
	targets := f.targets[id]
	delete(f.targets, id)
	return targets
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
					if err := f.write(w, []chunk.Wanted{{ID: p.ID, Size: p.Size}}, data); err != nil {
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
