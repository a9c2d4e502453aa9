package ocidisk_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Whoever may push may say what is in a build's root filesystem, and nothing else: what
// buildkitd itself opens or removes is no way out of the disk.
func TestLinksWhereBuildkitdLooks(t *testing.T) {
	for path, refused := range map[string]bool{
		"cache.db":                                           true,
		"runc-overlayfs":                                     true,
		"runc-overlayfs/workerid":                            true,
		"runc-overlayfs/content/blobs":                       true,
		"runc-overlayfs/snapshots/snapshots":                 true,
		"runc-overlayfs/snapshots/snapshots/1":               true,
		"runc-overlayfs/snapshots/snapshots/1/fs":            true,
		"runc-overlayfs/snapshots/snapshots/1/fs/etc/passwd": false,
		"runc-native/snapshots/snapshots/1":                  true,
		"runc-native/snapshots/snapshots/1/passwd":           false,
	} {
		for kind, make := range map[string]func(string) error{
			"link":   func(p string) error { return os.Symlink("/etc", p) },
			"device": func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) },
			"fifo":   func(p string) error { return unix.Mkfifo(p, 0o600) },
			"further name of a link": func(p string) error {
				first := filepath.Join(p, strings.Repeat("../", strings.Count(path, "/")+1), "a/snapshots/snapshots/1/fs/link")
				return errors.Join(os.MkdirAll(filepath.Dir(first), 0o755), os.Symlink("/etc", first), os.Link(first, p))
			},
		} {
			w := newWorld(t)
			j := w.clone(w.machine())
			p := filepath.Join(j.Root, path)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := make(p); err != nil {
				t.Fatal(err)
			}
			j.commit(t)
			dir := t.TempDir()
			_, lock, err := open(t, w.host, dir, nil).Clone(t.Context(), lineage, lineage, w.newID(), progress.Discard.Step(""))
			lock.Close()
			if (err != nil) != refused || (err != nil && !strings.Contains(err.Error(), path)) {
				t.Errorf("a %s at %s: %v", kind, path, err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "pool", "work", "*")); refused && len(left) > 0 {
				t.Errorf("left %v", left)
			}
		}
	}
}

// The process that fetched a generation was killed when it was in the pool, and not its
// head yet.
func TestKilledWhileAdopting(t *testing.T) {
	w := newWorld(t)
	a := w.clone(w.machine())
	a.fill(t)
	a.commit(t)
	dir := t.TempDir()
	there := open(t, w.host, dir, smallPacks)
	w.clone(there).lock.Close()
	heads, err := filepath.Glob(filepath.Join(dir, "pool", "lineages", "generation-*", "head.json"))
	if err != nil || len(heads) != 1 || os.Remove(heads[0]) != nil {
		t.Fatal(heads, err)
	}
	same(t, w.clone(a.d).Root, w.clone(there).Root)
}

// A head is moved to the same generation again and again: jobs that began before the last
// time are told from those that began after it, also where a registry removes all tags of
// what it removes by its digest.
func TestResetsAreCounted(t *testing.T) {
	w := newWorld(t)
	w.reset(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/manifests/sha256:") {
			w.deleteTagsOf(r)
		}
		return false
	})
	d := w.machine()
	j := w.clone(d)
	j.write(t, "f", random(1, 1000))
	first := j.commit(t)
	for i := range 4 {
		j := w.clone(d)
		if j.Resets != i {
			t.Errorf("%d moves after %d", j.Resets, i)
		}
		j.write(t, "f", random(2+i, 1000))
		if err := d.SetHead(t.Context(), lineage, j.commit(t).ID, first.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// What a registry says is shown on terminals, and in logs of CI systems that take some lines
// for commands.
func TestNamesOnTerminals(t *testing.T) {
	w := newWorld(t)
	d := w.machine()
	j := w.clone(d)
	j.write(t, "f", random(1, 1000))
	g, err := d.Commit(t.Context(), j.Working, disk.Generation{Builder: "x\n::error::", BuildkitVersion: "\x1b[2J"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Mark(t.Context(), lineage, g.ID, "a\nb"); err != nil {
		t.Fatal(err)
	}
	all, err := w.machine().Records(t.Context(), lineage)
	if err != nil || len(all) != 1 || all[0].Bad == nil {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, s := range []string{all[0].Builder, all[0].BuildkitVersion, all[0].Bad.Reason} {
		if s == "" || disk.CheckKey(s) != nil {
			t.Errorf("%q", s)
		}
	}
}

// deleteTagsOf does what most registries do, and the one of the tests does not.
func (w *world) deleteTagsOf(r *http.Request) {
	ask := func(method, path string) (*httptest.ResponseRecorder, string) {
		rec := httptest.NewRecorder()
		w.inner.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		return rec, rec.Header().Get("Docker-Content-Digest")
	}
	repo, digest, _ := strings.Cut(r.URL.Path, "/manifests/")
	list, _ := ask(http.MethodGet, repo+"/tags/list?n=1000")
	var tags struct{ Tags []string }
	if err := json.Unmarshal(list.Body.Bytes(), &tags); err != nil {
		w.t.Error(err)
	}
	for _, tag := range tags.Tags {
		if _, of := ask(http.MethodHead, repo+"/manifests/"+tag); of == digest {
			ask(http.MethodDelete, repo+"/manifests/"+tag)
		}
	}
}
