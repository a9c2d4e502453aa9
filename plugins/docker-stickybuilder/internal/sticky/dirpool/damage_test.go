package dirpool_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A head whose files are damaged or gone costs the jobs that follow a generation, and
// nobody has to mend it by hand.
func TestDamagedHeadIsMended(t *testing.T) {
	l := disk.Lineage{Key: "k", Platform: "p"}
	write := func(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
	for name, c := range map[string]struct {
		damage func(lineage, head string) error
		lost   bool // the generation, and not only which one is the head
	}{
		"an empty description": {func(_, head string) error { return write(filepath.Join(head, "meta.json"), "") }, true},
		"no description":       {func(_, head string) error { return write(filepath.Join(head, "meta.json"), `{"id":"../x"}`) }, true},
		"no generation":        {func(_, head string) error { return os.RemoveAll(head) }, true},
		"an empty head":        {func(lineage, _ string) error { return write(filepath.Join(lineage, "head.json"), "") }, false},
		"a head that is no id": {func(lineage, _ string) error {
			return write(filepath.Join(lineage, "head.json"), `{"format":1,"generation":"../x"}`)
		}, false},
		"a head of another disk": {func(lineage, _ string) error {
			return write(filepath.Join(lineage, "head.json"), `{"format":1,"lineage":{"key":"x"}}`)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "pool")
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			p, err := dirpool.Open(dir, dirpool.Options{Now: func() time.Time { now = now.Add(time.Second); return now }})
			if err != nil {
				t.Fatal(err)
			}
			job := func() *disk.Working {
				now = now.Add(time.Minute)
				w, lock, err := p.Clone(t.Context(), l, l, disk.NewID(now, make([]byte, 6)), progress.Discard.Step(""))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { lock.Close() })
				return w
			}
			commit := func() string {
				g, err := p.Commit(t.Context(), job(), disk.Generation{}, nil)
				if err != nil {
					t.Fatal(err)
				}
				return g.ID
			}
			commit()
			good := commit()
			bad := commit()
			heads, err := filepath.Glob(filepath.Join(dir, "lineages", "*", "generations", bad))
			if err != nil || len(heads) != 1 {
				t.Fatal(heads, err)
			}
			if err := c.damage(filepath.Join(heads[0], "..", ".."), heads[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Head(t.Context(), l); !errors.Is(err, disk.ErrBad) {
				t.Errorf("head: %v", err)
			}
			if _, err := p.Records(t.Context(), l); err != nil {
				t.Error(err)
			}
			if _, err := p.Garbage(t.Context(), 1); err != nil {
				t.Error(err)
			}
			w := job()
			want := bad
			if c.lost {
				want = good
			}
			if w.Parent != want {
				t.Errorf("cloned %q, want %q", w.Parent, want)
			}
			if h, err := p.Head(t.Context(), l); err != nil || h.ID != w.Parent {
				t.Errorf("head %+v, %v", h, err)
			}
			if g, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil || g.Parent != w.Parent {
				t.Errorf("committing: %+v, %v", g, err)
			}
		})
	}
}

// A disk whose head cannot be read can still be removed.
func TestRemoveDamagedLineage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pool")
	p, err := dirpool.Open(dir, dirpool.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	l := disk.Lineage{Key: "k", Platform: "p"}
	w, lock, err := p.Clone(t.Context(), l, l, disk.NewID(time.Now(), make([]byte, 6)), progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
		t.Fatal(err)
	}
	head, err := filepath.Glob(filepath.Join(dir, "lineages", "*", "head.json"))
	if err != nil || len(head) != 1 || os.Truncate(head[0], 0) != nil {
		t.Fatal(head, err)
	}
	if err := p.RemoveLineage(t.Context(), l); err != nil {
		t.Error(err)
	}
	if all, err := p.Lineages(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// Jobs that begin at once on a new machine make one pool.
func TestManyMakeOnePool(t *testing.T) {
	for range 50 {
		dir := filepath.Join(t.TempDir(), "pool")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				p, err := dirpool.Open(dir, dirpool.Options{Now: time.Now})
				if err != nil {
					t.Error(err)
				} else if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

// A fetch that fails is discarded, and the next one has its id again: nobody may have
// tidied meanwhile.
func TestDiscardedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pool")
	p, err := dirpool.Open(dir, dirpool.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	l, id := disk.Lineage{Key: "k", Platform: "p"}, disk.NewID(time.Now(), make([]byte, 6))
	for range 3 {
		w, lock, err := p.Clone(t.Context(), l, l, id, progress.Discard.Step(""))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(lock.Close(), p.Discard(t.Context(), w)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Tidy(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "trash")); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
