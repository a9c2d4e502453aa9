package ocidisk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treefs"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

const localKey = "generation "

// local is the pool's lineage for one generation, "" for an empty disk.
func local(id string) disk.Lineage { return disk.Lineage{Key: localKey + id, Platform: "any"} }

// has reports whether a generation is in the pool.
func (d *Disk) has(ctx context.Context, id string) bool {
	g, err := d.pool.Head(ctx, local(id))
	return err == nil && g != nil
}

// halfway reports whether a generation is among those of the pool, and not the head that it
// should be: somebody was killed between the two.
func (d *Disk) halfway(ctx context.Context, id string) bool {
	ids, err := d.pool.Generations(ctx, local(id))
	return err == nil && len(ids) > 0 && !d.has(ctx, id)
}

// unsynced is the file that says at which start of the machine a generation was fetched,
// until it is known to be on the disk itself.
const unsynced = "boot"

// dropCrashed removes a generation that the machine may have lost parts of.
func (d *Disk) dropCrashed(ctx context.Context, id string) error {
	boot, err := os.ReadFile(d.file("trees", id, unsynced))
	if err != nil || (string(boot) == bootID() && len(boot) > 0) {
		return nil //nolint:nilerr // there is nothing to fear
	}
	return d.drop(ctx, id)
}

// synced notes that all of the pool has been written to the disk.
func (d *Disk) synced() {
	names, _ := filepath.Glob(d.file("trees", "*", unsynced))
	for _, n := range names {
		if boot, err := os.ReadFile(n); err == nil && string(boot) == bootID() {
			os.Remove(n)
		}
	}
}

// saveTree keeps the description of a generation that is in the pool.
func (d *Disk) saveTree(m *manifest, parts [][]byte, stats []treefs.Stat) error {
	dir := d.file("trees", m.id())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i, p := range parts {
		if err := os.WriteFile(filepath.Join(dir, m.parts[i].Digest.Encoded()), p, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(saveStats(filepath.Join(dir, "stats"), stats), os.WriteFile(filepath.Join(dir, "manifest.json"), m.raw, 0o600))
}

// loadTree returns a generation's tree and its encoded parts: those that are kept, and
// the others from the registry. Each has the digest that the manifest says.
func (d *Disk) loadTree(ctx context.Context, m *manifest, got func(int)) (*treeindex.Tree, [][]byte, error) {
	parts := make([][]byte, len(m.parts))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(d.options.Jobs)
	for i, p := range m.parts {
		if parts[i] = m.inline[p.Digest]; parts[i] != nil {
			continue
		}
		data, err := os.ReadFile(d.file("trees", m.id(), p.Digest.Encoded()))
		if err == nil && digest.FromBytes(data) == p.Digest {
			parts[i] = data
			continue
		}
		g.Go(func() (err error) {
			parts[i], err = d.client.ReadBlob(gctx, p.Digest.String(), p.Size, got)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	t, err := treeindex.Decode(parts)
	if errors.Is(err, treeindex.ErrNewer) {
		err = newer(fmt.Errorf("%w: %w", disk.ErrNewer, err))
	} else if err != nil {
		err = fmt.Errorf("%w: %w", disk.ErrBad, err)
	}
	return t, parts, err
}

// localManifest is that of a generation in the pool, nil if it is not kept.
func (d *Disk) localManifest(id string) *manifest {
	raw, err := os.ReadFile(d.file("trees", id, "manifest.json"))
	if err != nil {
		return nil
	}
	m, err := parseManifest(raw)
	if err != nil || m.id() != id {
		return nil
	}
	return m
}

func saveStats(path string, stats []treefs.Stat) error {
	out := make([]byte, 0, 16*len(stats))
	for _, s := range stats {
		out = binary.LittleEndian.AppendUint64(out, s.Inode)
		out = binary.LittleEndian.AppendUint64(out, uint64(s.Changed))
	}
	return os.WriteFile(path, out, 0o600)
}

// loadStats returns nil if there are none: then all files are read again.
func loadStats(path string) []treefs.Stat {
	data, err := os.ReadFile(path)
	if err != nil || len(data)%16 != 0 {
		return nil
	}
	out := make([]treefs.Stat, len(data)/16)
	for i := range out {
		b := data[16*i:]
		out[i] = treefs.Stat{Inode: binary.LittleEndian.Uint64(b), Changed: int64(binary.LittleEndian.Uint64(b[8:]))}
	}
	return out
}

// stale is how long an interrupted fetch waits for somebody to go on with it.
const stale = 24 * time.Hour

// Sweep removes working copies that nobody holds, fetches that nobody has gone on
// with, and the generations that were not used for the longest time if there is
// more than the cache may hold.
func (d *Disk) Sweep(ctx context.Context) (int, error) {
	keep, err := d.holdRestores(ctx)
	if err != nil {
		return 0, err
	}
	n, err := d.pool.Sweep(ctx)
	for _, lock := range keep {
		lock.Close()
	}
	if err == nil {
		err = d.tidy(ctx)
	}
	if err == nil {
		_, err = d.evict(ctx, d.options.Cache)
	}
	return n, err
}

// holdRestores takes the locks of the unfinished generations that somebody may still
// go on with, which to the pool are copies like others.
func (d *Disk) holdRestores(ctx context.Context) (locks []*durable.Lock, err error) {
	names, err := filepath.Glob(d.file("restore", "*.json"))
	for _, name := range names {
		id := strings.TrimSuffix(filepath.Base(name), ".json")
		st, err := os.Stat(name)
		if err != nil || !disk.ValidID(id) || d.options.Now().Sub(st.ModTime()) > stale {
			d.forgetRestore(id)
			continue
		}
		var r restoring
		if err := durable.ReadJSON(name, &r); err != nil || r.Working.ID != id {
			d.forgetRestore(id)
			continue
		}
		lock, err := durable.TakeLock(ctx, filepath.Join(filepath.Dir(r.Working.Root), "lock"), durable.Shared, 0)
		if err == nil {
			locks = append(locks, lock)
		} else if errors.Is(err, fs.ErrNotExist) {
			d.forgetRestore(id)
		}
	}
	return locks, err
}

// tidy forgets what belongs to copies and generations that are gone.
func (d *Disk) tidy(ctx context.Context) error {
	copies, err := d.pool.Copies(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, c := range copies {
		there[c.ID], there[c.Parent] = true, true
	}
	names, err := os.ReadDir(d.file("copies"))
	for _, n := range names {
		if id, _, _ := strings.Cut(n.Name(), "."); !there[id] {
			os.Remove(d.file("copies", n.Name()))
		}
	}
	trees, treesErr := os.ReadDir(d.file("trees"))
	for _, t := range trees {
		if !d.has(ctx, t.Name()) && !there[t.Name()] && !d.begets(t.Name()) {
			os.RemoveAll(d.file("trees", t.Name()))
		}
	}
	return errors.Join(err, treesErr)
}

// Shrink removes from this machine all generations that no job uses and that the
// registry has, and returns their number.
func (d *Disk) Shrink(ctx context.Context) (int, error) { return d.evict(ctx, 0) }

// evict removes generations from the pool until what is left fits limit. What the
// registry does not have yet stays, and so does what a job uses.
func (d *Disk) evict(ctx context.Context, limit int64) (removed int, err error) {
	type kept struct {
		id    string
		bytes int64
		used  time.Time
	}
	lineages, err := d.pool.Lineages(ctx)
	if err != nil {
		return 0, err
	}
	var all []kept
	var total int64
	for _, l := range lineages {
		id := strings.TrimPrefix(l.Key, localKey)
		m := d.localManifest(id)
		if m == nil {
			if !d.isPending(id) {
				err = errors.Join(err, d.drop(ctx, id))
			}
			continue
		}
		st, statErr := os.Stat(d.file("trees", id))
		if statErr == nil && !d.isPending(id) {
			all = append(all, kept{id, m.record.Bytes, st.ModTime()})
		}
		total += m.record.Bytes
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	for _, k := range all {
		if total <= limit {
			break
		}
		if dropErr := d.drop(ctx, k.id); dropErr == nil {
			total -= k.bytes
			removed++
		} else if !errors.Is(dropErr, disk.ErrInUse) {
			err = errors.Join(err, dropErr)
		}
	}
	return removed, err
}

// drop removes a generation from the pool; disk.ErrInUse while a job uses it.
func (d *Disk) drop(ctx context.Context, id string) error {
	if d.has(ctx, id) || d.halfway(ctx, id) {
		if err := d.pool.RemoveLineage(ctx, local(id)); err != nil {
			return err
		}
	}
	// A copy of it is committed by what is known of it, now or later.
	copies, err := d.pool.Copies(ctx)
	if err != nil || d.begets(id) || slices.ContainsFunc(copies, func(c disk.Copy) bool { return c.Parent == id }) {
		return err
	}
	return os.RemoveAll(d.file("trees", id))
}

// Forget drops what this machine has of a generation that is in the registry, so that
// it is fetched again. What the registry does not have stays.
func (d *Disk) Forget(ctx context.Context, id string) error {
	if d.isPending(id) {
		return nil
	}
	if err := d.drop(ctx, id); err != nil {
		return fmt.Errorf("dropping the copy of generation %s: %w", id, err)
	}
	return nil
}

// begets reports whether a pending generation was made of this one.
func (d *Disk) begets(id string) bool {
	all, _ := d.pending()
	return slices.ContainsFunc(all, func(p pending) bool { return p.Generation.Parent == id })
}

// touch notes that a generation was used.
func (d *Disk) touch(id string) {
	now := d.options.Now()
	_ = os.Chtimes(d.file("trees", id), now, now)
}

func (d *Disk) isPending(id string) bool {
	_, err := os.Lstat(d.file("pending", id+".json"))
	return err == nil
}
