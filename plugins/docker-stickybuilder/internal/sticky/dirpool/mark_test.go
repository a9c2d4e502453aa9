package dirpool_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disktest"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

func commit(t *testing.T, p *dirpool.Pool, id string) string {
	t.Helper()
	w, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID(id), progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
		t.Fatal(err)
	}
	return w.ID
}

func generation(t *testing.T, dir, id, file string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "lineages", "*", "generations", id))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%v, %v", paths, err)
	}
	return filepath.Join(paths[0], file)
}

// The process that marks the head dies before it moves the head.
func TestMarkInterrupted(t *testing.T) {
	for name, mark := range map[string]string{"a mark": `{"reason":"x"}`, "half a mark": `{"rea`} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "pool")
			p := open(t, dir, 3)
			a, b := commit(t, p, "a"), commit(t, p, "b")
			// This job has begun on b.
			early, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("c"), progress.Discard.Step(""))
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			if err := os.WriteFile(generation(t, dir, b, "bad.json"), []byte(mark), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Commit(t.Context(), early, disk.Generation{}, nil); !errors.Is(err, disk.ErrConflict) {
				t.Errorf("committing a child of it: %v", err)
			}
			if err := os.WriteFile(filepath.Join(filepath.Dir(filepath.Dir(generation(t, dir, b, ""))), "head.json"),
				[]byte(`{"format":1,"lineage":{"key":"`+disktest.Lineage.Key+`","platform":"`+disktest.Lineage.Platform+`"},"generation":"`+b+`"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			w, lock2, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("d"), progress.Discard.Step(""))
			if err != nil {
				t.Fatal(err)
			}
			defer lock2.Close()
			if w.Parent != a {
				t.Errorf("cloned %s, want %s", w.Parent, a)
			}
		})
	}
}

func TestRecordsOfDamagedGenerations(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pool")
	p := open(t, dir, 3)
	a, b := commit(t, p, "a"), commit(t, p, "b")
	if err := os.WriteFile(generation(t, dir, a, "meta.json"), []byte(`{"format":1,"id":"../../x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	records, err := p.Records(t.Context(), disktest.Lineage)
	if err != nil || len(records) != 2 || records[0].ID != a || records[0].Bad == nil || records[0].Created.IsZero() || records[1].Bad != nil {
		t.Errorf("%+v, %v", records, err)
	}
	if err := os.WriteFile(generation(t, dir, b, "meta.json"), []byte(`{"format":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Records(t.Context(), disktest.Lineage); !errors.Is(err, disk.ErrNewer) {
		t.Errorf("of a newer version: %v", err)
	}
	// A lineage that has lost its head is still found.
	if err := os.Remove(filepath.Join(filepath.Dir(filepath.Dir(generation(t, dir, b, ""))), "head.json")); err != nil {
		t.Fatal(err)
	}
	if all, err := p.Lineages(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err) // neither description can be read
	}
	c := commit(t, p, "c")
	if err := os.Remove(filepath.Join(filepath.Dir(filepath.Dir(generation(t, dir, c, ""))), "head.json")); err != nil {
		t.Fatal(err)
	}
	if all, err := p.Lineages(t.Context()); err != nil || len(all) != 1 || all[0] != disktest.Lineage {
		t.Errorf("%v, %v", all, err)
	}
}

func TestOpenExisting(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none")} {
		_, err := dirpool.Open(path, dirpool.Options{Now: time.Now, Existing: true})
		if !errors.Is(err, fs.ErrNotExist) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("made %v, %v", names, err)
	}
}
