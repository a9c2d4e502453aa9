package dirpool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/mounts"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
)

// Generations lists the ids of a lineage's generations, the oldest first.
func (p *Pool) Generations(_ context.Context, l disk.Lineage) ([]string, error) {
	names, err := os.ReadDir(filepath.Join(p.lineage(l), "generations"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	for _, n := range names {
		if disk.ValidID(n.Name()) {
			ids = append(ids, n.Name())
		}
	}
	slices.Sort(ids)
	return ids, err
}

// collect moves the oldest generations beyond those to keep into the trash, never
// the head nor one that is being cloned. The caller holds the lineage's lock.
func (p *Pool) collect(ctx context.Context, l disk.Lineage) error {
	head, err := p.headID(l)
	if err != nil {
		return err
	}
	ids, err := p.Generations(ctx, l)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range surplus(p.worstFirst(l, ids), head, p.options.Keep) {
		errs = append(errs, p.ifUnused(ctx, p.generation(l, id), p.toss))
	}
	return errors.Join(errs...)
}

// worstFirst orders ids by how little they are worth: what is bad goes before
// what a rollback could go to, and what was committed before goes before. An id
// only tells when its job began, and the longest one has the most to lose.
func (p *Pool) worstFirst(l disk.Lineage, ids []string) []string {
	committed := map[string]time.Time{}
	for _, id := range ids {
		committed[id] = idTime(id)
		if g, err := p.meta(filepath.Join(p.generation(l, id), "meta.json")); err == nil {
			committed[id] = g.Created
		}
	}
	slices.SortStableFunc(ids, func(a, b string) int { return committed[a].Compare(committed[b]) })
	var bad, good []string
	for _, id := range ids {
		if exists(filepath.Join(p.generation(l, id), "bad.json")) {
			bad = append(bad, id)
		} else {
			good = append(good, id)
		}
	}
	return append(bad, good...)
}

// surplus returns those of ids, the one of least worth first, that are too many.
func surplus(ids []string, head string, keep int) []string {
	if slices.Contains(ids, head) {
		keep--
	}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == head })
	return ids[:max(0, len(ids)-keep)]
}

// Sweep moves working copies that no process holds any more into the trash. It
// returns how many those were.
func (p *Pool) Sweep(ctx context.Context) (int, error) {
	gate, err := durable.TakeLock(ctx, p.file("lock"), durable.Exclusive, 0)
	if errors.Is(err, durable.ErrLocked) {
		return 0, nil // somebody clones or sweeps just now: the next job will do
	}
	if err != nil {
		return 0, writable(err)
	}
	defer gate.Close()
	removed := 0
	var errs []error
	works, err := os.ReadDir(p.file("work"))
	errs = append(errs, err)
	for _, w := range works {
		if !disk.ValidID(w.Name()) {
			continue
		}
		switch err := p.ifUnused(ctx, p.work(w.Name()), p.toss); {
		case err != nil:
			errs = append(errs, err)
		case !exists(p.work(w.Name())):
			removed++
		}
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("sweeping disk pool %s: %w", p.dir, err)
	}
	return removed, nil
}

// Tidy takes apart what is in the trash, unless another process is at it. Commit,
// Discard and Sweep only move things there, since this can take seconds. Where space
// is short it waits a while for what that gives back.
func (p *Pool) Tidy(ctx context.Context) error {
	if err := p.tidy(ctx, 0); err != nil {
		return err
	}
	const short = 1 << 30
	if space, err := tree.Free(p.dir); err != nil || space.Bytes > short {
		return err
	}
	return p.backend.reclaim(ctx, p.dir)
}

// makeRoom tidies, or waits for another process that does, if there is none for what
// fits reports.
func (p *Pool) makeRoom(ctx context.Context, fits func() error) error {
	err := fits()
	if err == nil {
		return nil
	}
	if names, readErr := os.ReadDir(p.file("trash")); readErr != nil || len(names) == 0 {
		return err
	}
	if err := p.tidy(ctx, p.options.Wait); err != nil {
		return err
	}
	if err := p.backend.reclaim(ctx, p.dir); err != nil {
		return err
	}
	return fits()
}

func (p *Pool) tidy(ctx context.Context, wait time.Duration) error {
	lock, err := durable.TakeLock(ctx, p.file("trash.lock"), durable.Exclusive, wait)
	if errors.Is(err, durable.ErrLocked) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tidying disk pool %s: %w", p.dir, err)
	}
	defer lock.Close()
	trash, err := os.ReadDir(p.file("trash"))
	errs := []error{err}
	for _, t := range trash {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, p.removeTree(ctx, p.file("trash", t.Name())))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tidying disk pool %s: %w", p.dir, err)
	}
	return nil
}

// removeUnused removes dir unless somebody holds its lock.
func (p *Pool) removeUnused(ctx context.Context, dir string) error {
	return p.ifUnused(ctx, dir, p.remove)
}

func (p *Pool) ifUnused(ctx context.Context, dir string, do func(context.Context, string) error) error {
	lock, err := durable.TakeLock(ctx, filepath.Join(dir, "lock"), durable.Exclusive, 0)
	if errors.Is(err, durable.ErrLocked) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	return do(ctx, dir)
}

// toss takes dir out of sight by one rename, so that no half-deleted copy is ever
// found under its name.
func (p *Pool) toss(_ context.Context, dir string) error {
	_, err := p.trash(dir)
	return err
}

// trash returns where dir is then. What is fetched again and again, because that fails,
// has the same name each time.
func (p *Pool) trash(dir string) (to string, err error) {
	if err := unmounted(dir); err != nil {
		return "", err
	}
	to = p.file("trash", filepath.Base(dir))
	for n := 1; ; n++ {
		err = os.Rename(dir, to)
		if !errors.Is(err, fs.ErrExist) || n > maxNamesakes {
			break
		}
		to = p.file("trash", fmt.Sprintf("%s-%d", filepath.Base(dir), n))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return to, nil
	}
	return to, err
}

const maxNamesakes = 1000

// remove tosses dir and takes it apart at once.
func (p *Pool) remove(ctx context.Context, dir string) error {
	to, err := p.trash(dir)
	if err != nil {
		return err
	}
	return p.removeTree(ctx, to)
}

func (p *Pool) removeTree(_ context.Context, dir string) error {
	if err := unmounted(dir); err != nil {
		return err
	}
	// What was being tried out in the trash when its process was killed is no copy.
	if err := p.backend.remove(filepath.Join(dir, "root")); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return err
	}
	return os.RemoveAll(dir)
}

// removeCopy removes a working copy, on a full filesystem too.
func (p *Pool) removeCopy(ctx context.Context, dir string) error {
	err := p.remove(ctx, dir)
	if errors.Is(err, errNoSpace) {
		err = p.removeInPlace(ctx, dir)
	}
	return err
}

// removeInPlace is for a working copy on a filesystem so full that it cannot be tossed:
// a rename takes space, and of that removals have a reserve. The root goes first,
// without which the copy is nothing that anybody could commit. It waits a while for
// the space.
func (p *Pool) removeInPlace(ctx context.Context, dir string) error {
	if err := p.removeTree(ctx, dir); err != nil {
		return err
	}
	return p.backend.reclaim(ctx, p.dir)
}

// unmounted fails if anything is mounted below dir. One that is gone has nothing.
func unmounted(dir string) error {
	points, err := mounts.Below(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(points) > 0 {
		err = fmt.Errorf("removing %s: %s is mounted there", dir, points[0])
	}
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
