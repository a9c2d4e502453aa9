package ocidisk_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A machine on which there is no room, or on which it runs out, keeps nothing of what it
// has fetched, and the disk in the registry is what it was.
func TestFullFilesystem(t *testing.T) {
	w := newWorld(t)
	a := w.clone(w.machine())
	a.fill(t)
	head := a.commit(t)
	for name, size := range map[string]string{"full before": "2m", "full while fetching": "32m"} {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		glob := func(pattern string) []string {
			names, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			return names
		}
		ballast := filepath.Join(dir, "ballast")
		var once sync.Once
		w.reset(func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/blobs/") && len(glob("pool/work/*")) > 0 { // a pack
				once.Do(func() { _ = os.WriteFile(ballast, make([]byte, 32<<20), 0o600) })
			}
			return false
		})
		d := open(t, w.host, dir, smallPacks)
		_, _, err := d.Clone(t.Context(), lineage, lineage, w.newID(), progress.Discard.Step(""))
		if !errors.Is(err, disk.ErrNoSpace) || !strings.Contains(fault.HintOf(err), "free some space in "+dir) {
			t.Errorf("%s: %v, hint %q", name, err, fault.HintOf(err))
		}
		if left := append(glob("pool/work/*"), glob("restore/*")...); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
		w.reset(nil)
		if h, err := w.machine().Head(t.Context(), lineage); err != nil || h.ID != head.ID {
			t.Errorf("%s: head %+v, %v", name, h, err)
		}
		if os.Remove(ballast) == nil {
			same(t, w.clone(w.machine()).Root, w.clone(d).Root)
		} else if size == "32m" {
			t.Errorf("%s: it was not full", name)
		}
	}
}

// Where a registry does not delete, jobs go on, and whoever asks for a removal is told.
func TestRegistryWithoutDelete(t *testing.T) {
	w := newWorld(t)
	w.reset(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/manifests/") {
			rw.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}
		return false
	})
	d := open(t, w.host, t.TempDir(), func(o *ocidisk.Options) { o.Keep = 1 })
	var first, last disk.Generation
	for i := range 3 {
		j := w.clone(d)
		j.write(t, "f", random(i, 100_000))
		if last = j.commit(t); i == 0 {
			first = last
		}
	}
	if w.count(http.MethodDelete, "/manifests/") == 0 {
		t.Error("old generations were not to be removed")
	}
	if err := d.Remove(t.Context(), lineage, first.ID); err == nil || !strings.Contains(fault.HintOf(err), "retention rules") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
	if gone, err := d.Collect(t.Context(), disk.Garbage{Kind: disk.OldGeneration, ID: first.ID, Lineage: lineage}); gone || err == nil {
		t.Errorf("collected %v, %v", gone, err)
	}
	if ids, err := d.Generations(t.Context(), lineage); err != nil || len(ids) != 3 {
		t.Errorf("generations %v, %v", ids, err)
	}
	if h, err := w.machine().Head(t.Context(), lineage); err != nil || h.ID != last.ID {
		t.Errorf("head %+v, %v", h, err)
	}
}

func TestUnreachableRegistry(t *testing.T) {
	needRoot(t)
	d := open(t, "127.0.0.1:1", t.TempDir(), nil)
	if err := d.CheckCommit(t.Context()); err == nil || fault.HintOf(err) != "is the registry 127.0.0.1:1 up and reachable from here?" {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
}

// Another machine collects garbage between a job's announcement and its move of the head:
// what was announced a moment ago is not what is too many.
func TestCollectedWhileAnnounced(t *testing.T) {
	w := newWorld(t)
	a := w.clone(w.machine())
	a.write(t, "f", []byte("one"))
	a.commit(t)
	b := w.clone(w.machine())
	b.write(t, "f", []byte("two"))
	other := open(t, w.host, t.TempDir(), func(o *ocidisk.Options) { o.Fresh = time.Minute })
	var collected []string
	var once sync.Once
	w.reset(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "-head") {
			once.Do(func() {
				garbage, err := other.Garbage(t.Context(), 1)
				if err != nil {
					t.Error(err)
				}
				for _, g := range garbage {
					if gone, err := other.Collect(t.Context(), g); err != nil || gone {
						collected = append(collected, g.ID)
					}
				}
			})
		}
		return false
	})
	next := b.commit(t)
	w.reset(nil)
	records, err := w.machine().Records(t.Context(), lineage)
	if err != nil || len(records) != 2 || records[1].ID != next.ID || !records[1].Head || len(collected) > 0 {
		t.Errorf("%+v, %v; collected %v", records, err, collected)
	}
}
