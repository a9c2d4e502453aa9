package ocidisk_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

func TestOnlyWhatChangedTravels(t *testing.T) {
	w := newWorld(t)
	here, there := w.machine(), w.machine()
	a := w.clone(here)
	a.fill(t)
	a.commit(t)
	if w.sent < 26<<17 {
		t.Errorf("%d bytes were sent at first", w.sent)
	}
	first := w.clone(here)
	w.reset(nil)
	b := w.clone(there)
	if n := w.count("GET", "/blobs/"); n < 3 || n > 6 {
		t.Errorf("%d blobs were fetched", n)
	}
	same(t, first.Root, b.Root)

	b.write(t, "w/snapshots/snapshots/big/new", random(77, 2<<20))
	b.write(t, "w/snapshots/snapshots/small/001", []byte("other"))
	w.reset(nil)
	b.commit(t)
	if w.sent > 2<<20*13/10 {
		t.Errorf("%d bytes were sent for 2 MiB", w.sent)
	}
	// Here, only what is new comes.
	w.reset(nil)
	c := w.clone(here)
	if n := w.count("GET", "/blobs/"); n == 0 || n > 3 {
		t.Errorf("%d blobs were fetched", n)
	}
	same(t, w.clone(there).Root, c.Root)
	// And nothing at all the second time.
	w.reset(nil)
	d := w.clone(here)
	if n := w.count("GET", "/blobs/"); n != 0 {
		t.Errorf("%d blobs were fetched again", n)
	}
	w.reset(nil)
	d.commit(t)
	if len(w.requests) > 3 || w.sent > 100_000 {
		t.Errorf("a commit of nothing: %d bytes, %v", w.sent, w.requests)
	}
	// A little goes into the manifest, and on from there.
	for i := range 5 {
		e := w.clone([]*ocidisk.Disk{here, there}[i%2])
		e.write(t, "cache.db", random(i, 5000))
		w.reset(nil)
		e.commit(t)
		if len(w.requests) > 3 || w.sent > 100_000 {
			t.Errorf("a commit of little: %d bytes, %v", w.sent, w.requests)
		}
	}
	same(t, w.clone(here).Root, w.clone(w.machine()).Root)
}

func TestInterruptedFetchGoesOn(t *testing.T) {
	w := newWorld(t)
	a := w.clone(w.machine())
	a.fill(t)
	a.commit(t)
	dir := t.TempDir()
	there := open(t, w.host, dir, smallPacks)
	gets := 0
	w.reset(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		w.mu.Lock()
		gets++
		n := gets
		w.mu.Unlock()
		if n > 3 { // after two parts of the index, and a pack
			waitFor(t, filepath.Join(dir, "restore", "*.packs"))
			rw.WriteHeader(http.StatusForbidden)
		}
		return n > 3
	})
	if _, _, err := there.Clone(t.Context(), lineage, lineage, w.newID(), progress.Discard.Step("")); err == nil {
		t.Fatal("fetched in spite of everything")
	}
	if n, err := there.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if c, err := there.Copies(t.Context()); len(c) != 0 || err != nil {
		t.Errorf("copies %v, %v", c, err)
	}
	w.reset(nil)
	b := w.clone(there)
	rest := w.count("GET", "/blobs/")
	w.reset(nil)
	c := w.clone(w.machine())
	if all := w.count("GET", "/blobs/"); rest == 0 || rest >= all {
		t.Errorf("%d blobs were fetched after the interruption, and %d without one", rest, all)
	}
	same(t, c.Root, b.Root)
}

// waitFor waits until a file has something in it: that a pack is done with.
func waitFor(t *testing.T, pattern string) {
	for range 3000 {
		names, _ := filepath.Glob(pattern)
		for _, n := range names {
			if st, err := os.Stat(n); err == nil && st.Size() > 0 {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("no pack is done with: %s", pattern)
}

func TestPendingGenerations(t *testing.T) {
	w := newWorld(t)
	here := w.machine()
	a := w.clone(here)
	a.fill(t)
	head := a.commit(t)
	b := w.clone(here)
	b.write(t, "new", random(5, 1<<20))
	refuse := func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			rw.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	w.reset(refuse)
	g, err := here.Commit(t.Context(), b.Working, disk.Generation{}, nil)
	b.lock.Close()
	if !errors.Is(err, disk.ErrPending) {
		t.Errorf("%v", err)
	}
	// Neither a full machine nor a sweep takes it away.
	if _, err := here.Shrink(t.Context()); err != nil {
		t.Error(err)
	}
	if p, err := here.Pending(); err != nil || len(p) != 1 || p[0].ID != g.ID {
		t.Errorf("%v, %v", p, err)
	}
	if h, err := here.Head(t.Context(), lineage); err != nil || h.ID != head.ID {
		t.Errorf("head %+v, %v", h, err)
	}
	if n, err := here.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	// The next job uploads it, and sends no pack again.
	w.reset(nil)
	c := w.clone(here)
	if c.Parent != g.ID || w.count("PUT", "/blobs/") != 0 {
		t.Errorf("cloned %s after %v", c.Parent, w.requests)
	}
	if p, err := here.Pending(); err != nil || len(p) != 0 {
		t.Errorf("%v, %v", p, err)
	}
}

// Jobs of several machines that commit at once: one is the head, all are kept, and each
// knows which it is.
func TestRacingMachines(t *testing.T) {
	w := newWorld(t)
	a := w.clone(w.machine())
	a.write(t, "f", []byte("one"))
	a.commit(t)
	const jobs = 5
	var all []job
	for i := range jobs {
		j := w.clone(w.machine())
		j.write(t, "f", fmt.Append(nil, i))
		all = append(all, j)
	}
	errs := make([]error, jobs)
	var group sync.WaitGroup
	for i, j := range all {
		group.Go(func() { _, errs[i] = j.d.Commit(t.Context(), j.Working, disk.Generation{}, nil) })
	}
	group.Wait()
	here := w.machine()
	head, err := here.Head(t.Context(), lineage)
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		switch {
		case err == nil && head.ID != all[i].ID:
			t.Errorf("%s believes to be the head, which is %s", all[i].ID, head.ID)
		case err != nil && !errors.Is(err, disk.ErrConflict):
			t.Error(err)
		}
	}
	if records, err := here.Records(t.Context(), lineage); err != nil || len(records) != jobs+1 {
		t.Errorf("%d generations, %v", len(records), err)
	}
}

// What a registry gives that is not what it should be, changes nothing here.
func TestHostileRegistry(t *testing.T) {
	w := newWorld(t)
	a := w.clone(w.machine())
	a.fill(t)
	a.commit(t)
	for name, c := range map[string]struct {
		part   string
		answer func() []byte
	}{
		"blobs of other bytes": {"/blobs/", func() []byte { return random(1, 1<<20) }},
		"no blobs":             {"/blobs/", func() []byte { return nil }},
		"another manifest":     {"/manifests/", func() []byte { return []byte(`{"schemaVersion":2,"artifactType":"application/vnd.other"}`) }},
		"newer manifest": {"/manifests/", func() []byte {
			return []byte(`{"schemaVersion":2,"artifactType":"application/vnd.dockerfactory.stickydisk.v2+json"}`)
		}},
		"no JSON": {"/manifests/", func() []byte { return []byte("<html>") }},
	} {
		d := w.machine()
		w.reset(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, c.part) {
				return false
			}
			_, _ = rw.Write(c.answer())
			return true
		})
		_, _, err := d.Clone(t.Context(), lineage, lineage, w.newID(), progress.Discard.Step(""))
		if err == nil || errors.Is(err, disk.ErrNewer) != (name == "newer manifest") {
			t.Errorf("%s: %v", name, err)
		}
		if c.part == "/manifests/" && fault.HintOf(err) == "" {
			t.Errorf("%s: no hint: %v", name, err)
		}
		w.reset(nil)
		if j := w.clone(d); j.Parent != a.ID {
			t.Errorf("%s: afterwards cloned %s", name, j.Parent)
		}
	}
}

// A pack of which little is in use is given up, and nothing is lost by that.
func TestCompaction(t *testing.T) {
	w := newWorld(t)
	here := w.machine()
	a := w.clone(here)
	a.fill(t)
	a.commit(t)
	for i := range 12 {
		j := w.clone(here)
		for k := range 2 {
			j.write(t, fmt.Sprintf("w/snapshots/snapshots/big/%d", k), random(100*i+k, 1<<18))
		}
		j.write(t, fmt.Sprintf("w/snapshots/snapshots/small/keep%d", i), random(i, 40<<10))
		j.commit(t)
	}
	j := w.clone(here)
	w.reset(nil)
	there := w.clone(w.machine())
	same(t, j.Root, there.Root)
	// 1.3 MiB with the small files are in use, of 3.6 MiB and 12 times 0.5 MiB.
	if n := w.count("GET", "/blobs/"); n > 20 || w.got > 4<<20 {
		t.Errorf("%d blobs with %d bytes are needed after 12 rewrites", n, w.got)
	}
}

// What was fetched and not synced is fetched again after the machine has crashed.
func TestCrashedMachine(t *testing.T) {
	w := newWorld(t)
	a := w.clone(w.machine())
	a.write(t, "f", random(1, 1<<20))
	a.commit(t)
	dir := t.TempDir()
	there := open(t, w.host, dir, smallPacks)
	j := w.clone(there)
	if err := there.Discard(t.Context(), j.Working); err != nil {
		t.Fatal(err)
	}
	boots, err := filepath.Glob(filepath.Join(dir, "trees", "*", "boot"))
	if err != nil || len(boots) != 1 {
		t.Fatalf("%v, %v", boots, err)
	}
	for _, again := range []bool{false, true} {
		if again {
			if err := os.WriteFile(boots[0], []byte("another start"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.reset(nil)
		j := w.clone(there)
		if n := w.count("GET", "/blobs/"); (n > 0) != again {
			t.Errorf("crashed %v: %d blobs were fetched", again, n)
		}
		if !again {
			if err := there.Discard(t.Context(), j.Working); err != nil {
				t.Fatal(err)
			}
			continue
		}
		j.commit(t)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "trees", "*", "boot")); len(left) != 0 {
		t.Errorf("after a commit, which syncs: %v", left)
	}
}
