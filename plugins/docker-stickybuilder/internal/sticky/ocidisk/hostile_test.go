package ocidisk_test

import (
	"bytes"
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

// Under the head's tag there is something that cannot be understood: somebody has pushed an
// image there, or the description is damaged. The next clone begins with the newest
// generation, and makes that the head again.
func TestHeadThatCannotBeUnderstood(t *testing.T) {
	const artifact = `"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]`
	for name, c := range map[string]struct {
		manifest string
		newer    bool
		readOnly bool
	}{
		"somebody's image":          {manifest: `{` + artifact + `}`},
		"a damaged description":     {manifest: `{` + artifact + `,"artifactType":"application/vnd.dockerfactory.stickydisk.v1+json","annotations":{"dev.dockerfactory.stickydisk.generation":"{"}}`},
		"where it cannot be mended": {manifest: `{` + artifact + `}`, readOnly: true},
		"of a newer version":        {manifest: `{` + artifact + `,"artifactType":"application/vnd.dockerfactory.stickydisk.v2+json"}`, newer: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.clone(w.machine())
			a.write(t, "cache.db", random(1, 5000))
			a.commit(t)
			b := w.clone(a.d)
			b.write(t, "cache.db", random(2, 5000))
			head := b.commit(t)
			w.spoilHead(c.manifest)
			if c.readOnly {
				w.reset(func(rw http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodPut {
						return false
					}
					rw.WriteHeader(http.StatusForbidden)
					return true
				})
			}
			d := w.machine()
			if _, err := d.Head(t.Context(), lineage); c.newer && !errors.Is(err, disk.ErrNewer) || !c.newer && !errors.Is(err, disk.ErrBad) {
				t.Fatalf("the head: %v", err)
			}
			if c.newer {
				if _, _, err := d.Clone(t.Context(), lineage, lineage, w.newID(), progress.Discard.Step("")); !errors.Is(err, disk.ErrNewer) {
					t.Errorf("%v", err)
				}
				return
			}
			if records, err := d.Records(t.Context(), lineage); err != nil || len(records) != 2 || records[0].Head || records[1].Head {
				t.Errorf("records %+v, %v", records, err)
			}
			j := w.clone(d)
			if j.Parent != head.ID {
				t.Errorf("begins with %s, and not %s", j.Parent, head.ID)
			}
			if got, err := os.ReadFile(filepath.Join(j.Root, "cache.db")); err != nil || !bytes.Equal(got, random(2, 5000)) {
				t.Errorf("other contents: %v", err)
			}
			if c.readOnly {
				return
			}
			if g, err := w.machine().Head(t.Context(), lineage); err != nil || g.ID != head.ID {
				t.Errorf("the head after that: %+v, %v", g, err)
			}
			j.write(t, "cache.db", random(3, 5000))
			next := j.commit(t)
			if g, err := w.machine().Head(t.Context(), lineage); err != nil || g.ID != next.ID {
				t.Errorf("the head after a commit: %+v, %v", g, err)
			}
		})
	}
}

// spoilHead puts a manifest under the tag of the only head.
func (w *world) spoilHead(manifest string) {
	w.t.Helper()
	resp, err := http.Get("http://" + w.host + "/v2/team/disks/tags/list")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Tags []string }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		w.t.Fatal(err)
	}
	for _, tag := range list.Tags {
		if !strings.HasSuffix(tag, "-head") {
			continue
		}
		r, err := http.NewRequest(http.MethodPut, "http://"+w.host+"/v2/team/disks/manifests/"+tag, strings.NewReader(manifest))
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		put, err := http.DefaultClient.Do(r)
		if err != nil || put.StatusCode != http.StatusCreated {
			w.t.Fatal(put, err)
		}
		put.Body.Close()
		return
	}
	w.t.Fatal("no head among ", list.Tags)
}
