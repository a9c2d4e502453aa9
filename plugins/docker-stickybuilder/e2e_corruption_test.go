package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A corruption damages the root of a generation; former is the root of the one before.
type corruption struct {
	name   string
	damage func(r *rand.Rand, root, former string) error
}

// corruptions are 50 ways in which a disk has been seen to go bad.
func corruptions() (all []corruption) {
	for _, db := range []string{"cache.db", "history.db", "runc-overlayfs/containerdmeta.db", "runc-overlayfs/metadata_v2.db", "runc-overlayfs/snapshots/metadata.db"} {
		edit := func(how string, fn func(r *rand.Rand, b []byte) []byte) {
			all = append(all, corruption{db + " " + how, func(r *rand.Rand, root, _ string) error {
				path := filepath.Join(root, db)
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				return os.WriteFile(path, fn(r, b), 0o600)
			}})
		}
		page := func(r *rand.Rand, b []byte) []byte {
			at := 4096 * r.IntN(len(b)/4096)
			return b[at : at+4096]
		}
		edit("a zeroed page", func(r *rand.Rand, b []byte) []byte { clear(page(r, b)); return b })
		edit("a zeroed meta page and root", func(_ *rand.Rand, b []byte) []byte { clear(b[:16<<10]); return b })
		edit("cut in half", func(_ *rand.Rand, b []byte) []byte { return b[:len(b)/2] })
		edit("emptied", func(*rand.Rand, []byte) []byte { return nil })
		edit("junk in a page", func(r *rand.Rand, b []byte) []byte {
			for i, p := 0, page(r, b); i < len(p); i++ {
				p[i] = byte(r.Uint32())
			}
			return b
		})
		edit("pages that were not written", func(r *rand.Rand, b []byte) []byte {
			for range 3 {
				copy(page(r, b), page(r, b))
			}
			return b
		})
		all = append(all,
			corruption{db + " junk", func(_ *rand.Rand, root, _ string) error {
				return os.WriteFile(filepath.Join(root, db), []byte(strings.Repeat("junk ", 10000)), 0o600)
			}},
			corruption{db + " removed", func(_ *rand.Rand, root, _ string) error { return os.Remove(filepath.Join(root, db)) }},
		)
	}
	one := func(name, pattern string, fn func(path string) error) {
		all = append(all, corruption{name, func(r *rand.Rand, root, _ string) error {
			found, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil || len(found) == 0 {
				return fmt.Errorf("there is no %s: %w", pattern, err)
			}
			return fn(found[r.IntN(len(found))])
		}})
	}
	one("a snapshot's directory missing", "*/snapshots/snapshots/*", os.RemoveAll)
	one("all snapshots missing", "*/snapshots/snapshots", os.RemoveAll)
	one("a blob missing", "*/content/blobs/sha256/*", os.Remove)
	one("a blob cut short", "*/content/blobs/sha256/*", func(p string) error { return os.Truncate(p, 10) })
	one("all blobs missing", "*/content/blobs", os.RemoveAll)
	one("the worker's name missing", "*/workerid", os.Remove)
	one("the worker's name zeroed", "*/workerid", func(p string) error { return os.WriteFile(p, make([]byte, 25), 0o600) })
	one("the worker missing", "runc-overlayfs", os.RemoveAll)
	// A copy that was made while the databases were written.
	all = append(all, corruption{"torn: metadata of the generation before", func(_ *rand.Rand, root, former string) error {
		b, err := os.ReadFile(filepath.Join(former, "runc-overlayfs/containerdmeta.db"))
		return errors.Join(err, os.WriteFile(filepath.Join(root, "runc-overlayfs/containerdmeta.db"), b, 0o600))
	}}, corruption{"torn: snapshots of the generation before", func(_ *rand.Rand, root, former string) error {
		b, err := os.ReadFile(filepath.Join(former, "runc-overlayfs/snapshots/metadata.db"))
		return errors.Join(err, os.WriteFile(filepath.Join(root, "runc-overlayfs/snapshots/metadata.db"), b, 0o600))
	}})
	return all
}

// Whatever is damaged: the next job gets a builder that builds, without anybody's
// help, and the one after it is warm. STICKY_CORRUPTIONS says how many of the 50.
func TestCorruptions(t *testing.T) {
	all := corruptions()
	if len(all) != 50 {
		t.Fatalf("%d corruptions", len(all))
	}
	n := min(counted(t, 5, "STICKY_CORRUPTIONS"), len(all))
	j := newJob(t)
	j.plain()
	rungs, colds, recovered := map[string]int{}, 0, 0
	for i := range n {
		c := all[i*len(all)/n]
		// Two good generations; each has a step, and a blob, that the one before has not.
		for k := range 2 {
			j.upNamed("sticky", "--keep", "4")
			j.mustBuild()
			j.mustBuild("--build-arg", fmt.Sprint("R=", i, ".", k), "-f", "round.Dockerfile", "--output", fmt.Sprintf("type=image,name=x%d.%d", i, k))
			if r := j.down(); r.Decision != "commit" {
				t.Fatalf("%s: before: %+v", c.name, r)
			}
		}
		head, former := j.heads()
		if err := c.damage(rand.New(rand.NewPCG(2, uint64(i))), head, former); err != nil { //nolint:gosec // to be the same each time
			t.Fatalf("%s: %v", c.name, err)
		}
		rung, cold := j.recovers(c.name)
		rungs[rung]++
		if cold {
			colds++
		}
		if !t.Failed() {
			recovered++
		}
		t.Logf("%-60s %-24s cold: %v", c.name, rung, cold)
	}
	t.Logf("%d of %d recovered; %d needed a cold build; rungs: %v", recovered, n, colds, rungs)
	j.nothingLeft()
}

// recovers runs a job on the damaged head and another one after it.
func (j *job) recovers(what string) (rung string, cold bool) {
	j.t.Helper()
	var u struct {
		upped
		Recovered []struct{ Rung string }
	}
	j.sticky(&u, "up", "--disk", "dir:"+j.pool, "--key", "k", "--keep", "4")
	var all []string
	for _, r := range u.Recovered {
		all = append(all, r.Rung)
	}
	if rung = strings.Join(all, " "); rung == "" {
		rung = "-"
	}
	if err := errors.Join(j.build(), j.build("--no-cache-filter", "stage-0"), j.build("-f", "round.Dockerfile", "--output", "type=image,name=y")); err != nil {
		j.t.Errorf("%s: %s: %v", what, rung, err)
	}
	r := j.down()
	if r.Decision != "commit" {
		j.t.Errorf("%s: %s: %+v", what, rung, r)
		return rung, true
	}
	cold = r.Builds[0].CachedSteps != 3
	j.sound()
	if u := j.upNamed("sticky", "--keep", "4"); u.Cache != "warm" {
		j.t.Errorf("%s: the next job: %+v", what, u)
	}
	j.mustBuild()
	if r := j.down(); r.Decision != "commit" || r.Builds[0].CachedSteps != 3 {
		j.t.Errorf("%s: the next job: %+v", what, r)
	}
	return rung, cold
}

// heads returns the roots of the head and of its parent.
func (j *job) heads() (head, parent string) {
	j.t.Helper()
	var disk struct {
		Head        string
		Generations []struct{ ID, Parent string }
	}
	j.sticky(&disk, "disk", "inspect", "--disk", "dir:"+j.pool, "--key", "k")
	for _, g := range disk.Generations {
		if g.ID == disk.Head {
			parent = g.Parent
		}
	}
	root := func(id string) string {
		found, err := filepath.Glob(filepath.Join(j.pool, "lineages", "*", "generations", id, "root"))
		if err != nil || len(found) != 1 {
			j.t.Fatalf("generation %q: %v, %v", id, found, err)
		}
		return found[0]
	}
	return root(disk.Head), root(parent)
}
