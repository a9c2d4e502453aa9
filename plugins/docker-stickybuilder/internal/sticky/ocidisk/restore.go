package ocidisk

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treefs"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A restoring is a generation on its way into the pool. It is written down once its
// files have their names; after that a dead process's work is gone on with, if the
// machine has not been booted since: what a process wrote outlives it, and not the
// machine.
type restoring struct {
	Working disk.Working `json:"working"`
	Base    string       `json:"base,omitempty"` // generation that the files were a clone of
	Boot    string       `json:"boot"`
}

// restore fetches a generation into the pool, unless it is there. The caller holds
// the lineage's lock.
func (d *Disk) restore(ctx context.Context, m *manifest, step progress.Step) (err error) {
	if err := d.dropCrashed(ctx, m.id()); err != nil {
		return err
	}
	if d.has(ctx, m.id()) {
		return nil
	}
	meter := &meter{step: step}
	next, parts, err := d.loadTree(ctx, m, func(n int) { meter.count("index", n) })
	if err != nil {
		return err
	}
	r, lock, err := d.resume(ctx, m, next)
	if err != nil {
		return err
	}
	if r == nil {
		if r, lock, err = d.begin(ctx, m, next, step); err != nil {
			return err
		}
	}
	defer lock.Close()
	if err := d.fill(ctx, m, r, next, meter); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			err = fault.Hint(fmt.Errorf("%w: %w", disk.ErrNoSpace, err), "free some space in %s", d.options.Dir)
		}
		return err
	}
	stats, err := treefs.Stats(ctx, r.Working.Root, next)
	if err != nil {
		return err
	}
	if err := d.saveTree(m, parts, stats); err != nil {
		return err
	}
	w := disk.Working{ID: m.id(), Root: r.Working.Root, Lineage: local(m.id())}
	if err := os.WriteFile(d.file("trees", m.id(), unsynced), []byte(bootID()), 0o600); err != nil {
		return err
	}
	if err := d.pool.Adopt(ctx, &w, m.record.Generation); err != nil {
		return err
	}
	d.forgetRestore(m.id())
	return nil
}

func (d *Disk) forgetRestore(id string) {
	os.Remove(d.file("restore", id+".json"))
	os.Remove(d.file("restore", id+".packs"))
}

// bootID is another one after each start of the machine.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// resume finds what a dead process has left of the same generation, nil if nothing.
func (d *Disk) resume(ctx context.Context, m *manifest, _ *treeindex.Tree) (*restoring, *durable.Lock, error) {
	var r restoring
	err := durable.ReadJSON(d.file("restore", m.id()+".json"), &r)
	if err == nil && r.Boot == bootID() && r.Boot != "" && r.Working.ID == m.id() && (r.Base == "" || (d.has(ctx, r.Base) && d.localManifest(r.Base) != nil)) {
		lock, err := d.pool.Reopen(ctx, &r.Working)
		if err == nil {
			return &r, lock, nil
		}
		if !errors.Is(err, disk.ErrGone) && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
	d.forgetRestore(m.id())
	return nil, nil, d.pool.Discard(ctx, &disk.Working{ID: m.id()})
}

// begin makes a clone of the nearest generation that is here, or an empty copy, and
// gives it the names of the files that are to come.
func (d *Disk) begin(ctx context.Context, m *manifest, next *treeindex.Tree, step progress.Step) (_ *restoring, _ *durable.Lock, err error) {
	r := &restoring{Base: d.nearest(ctx, m), Boot: bootID()}
	var old *treeindex.Tree
	at := local("none")
	if r.Base != "" {
		if old, _, err = d.loadTree(ctx, d.localManifest(r.Base), nil); err != nil {
			return nil, nil, err
		}
		at = local(r.Base)
	}
	plan := treefs.Diff(old, next)
	w, lock, err := d.pool.Clone(ctx, local(m.id()), at, m.id(), step)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.pool.Discard(context.WithoutCancel(ctx), w))
			lock.Close()
		}
	}()
	if err := d.checkSpace(w, plan, next); err != nil {
		return nil, nil, err
	}
	r.Working = *w
	a, err := treefs.NewApplier(w.Root, next, plan)
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	if err := a.Structure(ctx); err != nil {
		return nil, nil, err
	}
	return r, lock, durable.WriteJSON(d.file("restore", m.id()+".json"), r, 0o600)
}

// nearest is the generation in the pool that has the most packs in common with m.
func (d *Disk) nearest(ctx context.Context, m *manifest) (best string) {
	lineages, err := d.pool.Lineages(ctx)
	if err != nil {
		return ""
	}
	most := 0
	for _, l := range lineages {
		id := strings.TrimPrefix(l.Key, localKey)
		other := d.localManifest(id)
		if other == nil || d.dropCrashed(ctx, id) != nil || !d.has(ctx, id) {
			continue
		}
		common := 0
		for p := range other.packs {
			if m.packs[p] {
				common++
			}
		}
		if common > most {
			best, most = other.id(), common
		}
	}
	return best
}

// checkSpace asks the filesystem of the copy, and the one that holds the pool's file if
// that is another.
func (d *Disk) checkSpace(w *disk.Working, plan treefs.Plan, next *treeindex.Tree) error {
	need := tree.Size{Entries: int64(len(plan.Create))}
	for _, n := range plan.Create {
		for _, p := range next.Entries[n].Content {
			need.Bytes += int64(p.Size)
		}
	}
	for _, dir := range []string{w.Root, d.options.Dir} {
		free, err := tree.Free(dir)
		if err != nil {
			return err
		}
		if err := free.Short(need); err != nil {
			return fault.Hint(fmt.Errorf("%w for the generation: %w", disk.ErrNoSpace, err), "free some space in %s, or set XDG_STATE_HOME to where there is more", d.options.Dir)
		}
	}
	return nil
}

// A target is a place in a file where a chunk belongs.
type target struct {
	entry  *treeindex.Entry
	offset int64
}

// fill brings the contents, from generations that are here and from packs, and then
// the attributes.
func (d *Disk) fill(ctx context.Context, m *manifest, r *restoring, next *treeindex.Tree, meter *meter) error {
	var old *treeindex.Tree
	if r.Base != "" {
		var err error
		if old, _, err = d.loadTree(ctx, d.localManifest(r.Base), nil); err != nil {
			return err
		}
	}
	plan := treefs.Diff(old, next)
	a, err := treefs.NewApplier(r.Working.Root, next, plan)
	if err != nil {
		return err
	}
	defer a.Close()
	f := &filler{disk: d, inline: m.inline, applier: a, tree: next, targets: map[chunk.ID][]target{}, meter: meter}
	for _, n := range plan.Create {
		f.want(&next.Entries[n])
	}
	if old != nil {
		if err := f.takeLocal(ctx, r.Base, old); err != nil {
			return err
		}
	}
	if err := f.takePacks(ctx, d.file("restore", m.id()+".packs")); err != nil {
		return err
	}
	return a.Finish(ctx)
}

type filler struct {
	disk    *Disk
	inline  map[digest.Digest][]byte
	applier *treefs.Applier
	tree    *treeindex.Tree
	targets map[chunk.ID][]target
	sizes   []chunk.ID // of targets, in the order of the tree
	meter   *meter
}

func (f *filler) want(e *treeindex.Entry) {
	var at int64
	for _, p := range e.Content {
		at += p.Hole
		if _, ok := f.targets[p.ID]; !ok {
			f.sizes = append(f.sizes, p.ID)
		}
		f.targets[p.ID] = append(f.targets[p.ID], target{e, at})
		at += int64(p.Size)
	}
}

func (f *filler) write(id chunk.ID, data []byte) error {
	for _, t := range f.targets[id] {
		if err := f.applier.WriteAt(t.entry, data, t.offset); err != nil {
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
					if err := f.write(p.ID, data); err != nil {
						return err
					}
					delete(f.targets, p.ID)
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
				return chunk.Read(gctx, p, r, wanted[p.Digest], func(w chunk.Wanted, data []byte) error { return f.write(w.ID, data) })
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
