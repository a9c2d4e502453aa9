package sticky

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

var errStart = errors.New("buildkitd: it does not start")

// For a chain of three generations of which some are damaged, and a daemon that
// refuses some without there being a sign of damage: what the builder begins with, by
// which rungs, and what is marked.
func TestLadder(t *testing.T) {
	const all = "1 2 3"
	for name, c := range map[string]struct {
		damage  map[string]string // of generations
		refuses string            // generations on which the daemon does not start; "-" for the empty disk
		begins  string            // generation, "-" for the empty disk, "" for none
		rungs   string
		bad     string
	}{
		"all sound":                         {nil, "", "3", "", ""},
		"the history of builds":             {map[string]string{"3": "history.db"}, "", "3", "repair", ""},
		"the cache":                         {map[string]string{"3": "cache.db"}, "", "3", "repair", ""},
		"the metadata":                      {map[string]string{"3": "runc-overlayfs/metadata_v2.db"}, "", "2", "rollback", "3"},
		"two in a row":                      {map[string]string{"3": "runc-overlayfs/metadata_v2.db", "2": "runc-overlayfs/snapshots/metadata.db"}, "", "1", "rollback rollback", "3 2"},
		"all of them":                       {map[string]string{"3": "runc-overlayfs/metadata_v2.db", "2": "runc-overlayfs/metadata_v2.db", "1": "runc-overlayfs/metadata_v2.db"}, "", "-", "rollback rollback cold", all},
		"a parent that can be repaired":     {map[string]string{"3": "runc-overlayfs/metadata_v2.db", "2": "cache.db"}, "", "2", "rollback repair", "3"},
		"only the daemon sees it":           {nil, "3", "2", "rollback", "3"},
		"only the daemon sees it, in all":   {nil, all, "-", "rollback rollback cold", all},
		"repaired, and refused":             {map[string]string{"3": "cache.db"}, "3", "2", "repair rollback", "3"},
		"the daemon starts on nothing":      {nil, all + " -", "", "", ""},
		"damaged, and it starts on nothing": {map[string]string{"3": "runc-overlayfs/metadata_v2.db"}, all + " -", "", "rollback", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newChain(t, 3)
			for n, file := range c.damage {
				if err := os.WriteFile(filepath.Join(g.root(n), file), []byte(strings.Repeat("junk ", 5000)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := g.climb(t, func(w disk.Working) error {
				if strings.Contains(c.refuses, g.number(w.Parent)) {
					return errStart
				}
				return nil
			})
			begins := g.number(g.inst.Working.Parent)
			if err != nil {
				begins = ""
			}
			if begins != c.begins || (err != nil && !errors.Is(err, errStart)) {
				t.Errorf("begins with %q, want %q: %v", begins, c.begins, err)
			}
			var rungs []string
			for _, r := range g.inst.Recovered {
				rungs = append(rungs, r.Rung)
				if r.Reason == "" || r.Generation == "" || r.String() == "" {
					t.Errorf("%+v", r)
				}
			}
			if got := strings.Join(rungs, " "); got != c.rungs {
				t.Errorf("rungs %q, want %q", got, c.rungs)
			}
			records, err := g.pool.(Shelf).Records(t.Context(), g.inst.Working.Lineage)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				if bad := strings.Contains(c.bad, g.number(r.ID)); bad != (r.Bad != nil) || (bad && r.Head) {
					t.Errorf("generation %s: %+v", g.number(r.ID), r)
				}
			}
			// Of all working copies only the last one is left.
			if copies, err := g.pool.(Shelf).Copies(t.Context()); err != nil || len(copies) > 1 || (len(copies) == 1 && copies[0].ID != g.inst.Working.ID) {
				t.Errorf("copies %+v, %v", copies, err)
			}
		})
	}
}

// That a daemon is not ready in time says nothing about the disk of a machine that is busy:
// it is given more time, and only one that needs more still, while it starts on an empty
// disk, is taken for one that the disk keeps from starting.
func TestLadderIsPatient(t *testing.T) {
	for name, c := range map[string]struct {
		slow  int // how often it is not ready in time on a clone
		warm  string
		rungs int
	}{"in time": {0, "3", 0}, "a busy machine": {1, "3", 0}, "always": {2, "2", 1}} {
		t.Run(name, func(t *testing.T) {
			g := newChain(t, 3)
			g.inst.ReadyTimeout = time.Second
			var given []time.Duration
			err := g.climb(t, func(w disk.Working) error {
				if g.number(w.Parent) != "3" {
					return nil
				}
				given = append(given, g.inst.ReadyTimeout)
				if len(given) <= c.slow {
					return fault.Hint(fmt.Errorf("starting buildkitd: %w", daemon.ErrSlow), "give it more time")
				}
				return nil
			})
			if err != nil || g.number(g.inst.Working.Parent) != c.warm || len(g.inst.Recovered) != c.rungs {
				t.Errorf("begins with %s, %v: %v", g.number(g.inst.Working.Parent), g.inst.Recovered, err)
			}
			if c.slow > 0 && (len(given) != 2 || given[1] < 2*given[0]) {
				t.Errorf("given %v", given)
			}
		})
	}
}

// Several jobs that find the same bad head at once all get the same good one.
func TestLadderSideBySide(t *testing.T) {
	g := newChain(t, 3)
	if err := os.WriteFile(filepath.Join(g.root("3"), "runc-overlayfs/metadata_v2.db"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	for range 4 {
		other := g.another(t)
		go func() {
			err := other.climb(t, func(disk.Working) error { return nil })
			if got := g.number(other.inst.Working.Parent); err == nil && got != "2" {
				err = errors.New("it began with " + got)
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// A generations is a disk with a chain of generations, called 1, 2, …
type generations struct {
	host Host
	spec string
	pool Disk
	inst *instance.Instance
	ids  []string
}

func newChain(t *testing.T, n int) *generations {
	t.Helper()
	h, _ := newHost(t)
	// Plain files, which can be damaged at any time.
	pool := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(pool, "pool.json"), []byte(`{"format":1}`), 0o600),
		os.Mkdir(filepath.Join(pool, "lineages"), 0o700), os.Mkdir(filepath.Join(pool, "work"), 0o700), os.Mkdir(filepath.Join(pool, "trash"), 0o700)); err != nil {
		t.Fatal(err)
	}
	g := &generations{host: h, spec: "dir:" + pool}
	g.open(t)
	for range n {
		id, err := h.newID()
		if err != nil {
			t.Fatal(err)
		}
		l := g.inst.Working.Lineage
		w, lock, err := g.pool.Clone(t.Context(), l, l, id, progress.Discard.Step(""))
		if err != nil {
			t.Fatal(err)
		}
		if !w.Warm() {
			emptyDatabases(t, w.Root)
		}
		if _, err := g.pool.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
			t.Fatal(err)
		}
		lock.Close()
		g.ids = append(g.ids, id)
	}
	return g
}

func (g *generations) open(t *testing.T) {
	t.Helper()
	var err error
	if g.pool, err = g.host.openDisk(g.spec, 9, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.pool.Close() })
	id, err := g.host.newID()
	if err != nil {
		t.Fatal(err)
	}
	g.inst = &instance.Instance{Name: id, Disk: g.spec, Working: disk.Working{ID: id, Lineage: disk.Lineage{Key: "k", Platform: "p"}}}
	if err := os.MkdirAll(string(g.host.State.Dir(id)), 0o700); err != nil {
		t.Fatal(err)
	}
}

// another job on the same disk.
func (g *generations) another(t *testing.T) *generations {
	t.Helper()
	other := *g
	other.open(t)
	return &other
}

func (g *generations) number(id string) string {
	if id == "" {
		return "-"
	}
	return string(rune('1' + slices.Index(g.ids, id)))
}

func (g *generations) root(number string) string {
	found, _ := filepath.Glob(filepath.Join(strings.TrimPrefix(g.spec, "dir:"), "lineages", "*", "generations", g.ids[number[0]-'1'], "root"))
	return found[0]
}

func (g *generations) climb(t *testing.T, start func(disk.Working) error) error {
	l := ladder{host: g.host, pool: g.pool, dir: g.host.State.Dir(g.inst.Name), inst: g.inst, progress: progress.Discard, start: func(lock *durable.Lock) error {
		// A daemon makes what it does not find.
		if !g.inst.Working.Warm() {
			emptyDatabases(t, g.inst.Working.Root)
		}
		return start(g.inst.Working)
	}}
	return l.climb(t.Context())
}
