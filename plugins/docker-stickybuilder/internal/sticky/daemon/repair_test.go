package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func TestRepair(t *testing.T) {
	junk := func(names ...string) func(string) error {
		return func(root string) error {
			var errs []error
			for _, n := range names {
				errs = append(errs, os.WriteFile(filepath.Join(root, n), []byte("junk"), 0o600))
			}
			return errors.Join(errs...)
		}
	}
	remove := func(name string) func(string) error {
		return func(root string) error { return os.Remove(filepath.Join(root, name)) }
	}
	const history, cold = "the history of earlier builds", "one cold build; cache mounts are kept"
	for name, c := range map[string]struct {
		damage func(string) error
		ok     bool
		cost   string
	}{
		"history":           {junk("history.db"), true, history},
		"cache":             {junk("cache.db"), true, cold},
		"no cache":          {remove("cache.db"), true, cold},
		"both":              {junk("cache.db", "history.db"), true, cold + ", and " + history},
		"the worker's name": {remove("runc-overlayfs/workerid"), true, ""},
		"name and cache": {func(root string) error {
			// What could tell the name is damaged itself.
			return errors.Join(junk("cache.db")(root), remove("runc-overlayfs/workerid")(root))
		}, false, ""},
		"metadata":            {junk("runc-overlayfs/metadata_v2.db"), false, ""},
		"history and another": {junk("history.db", "runc-overlayfs/containerdmeta.db"), false, ""},
		"nothing":             {func(string) error { return nil }, false, ""},
	} {
		root := newRoot(t)
		nameResult(t, root, "worker1::record1")
		if err := c.damage(root); err != nil {
			t.Fatal(err)
		}
		cost, ok, err := Repair(root, Check(t.Context(), root))
		if cost != c.cost || ok != c.ok || err != nil {
			t.Errorf("%s: %q, %v, %v", name, cost, ok, err)
		}
		if !ok {
			continue
		}
		for _, d := range damages(Check(t.Context(), root)) {
			if d == nil || d.Name != "cache.db" { // which the daemon makes anew
				t.Errorf("%s: after the repair: %v", name, d)
			}
		}
		if id, err := os.ReadFile(filepath.Join(root, "runc-overlayfs", workerFile)); err != nil || string(id) != "worker1" {
			t.Errorf("%s: worker %q, %v", name, id, err)
		}
	}
	// Results of several workers do not say which one it was.
	root := newRoot(t)
	nameResult(t, root, "worker1::record1")
	nameResult(t, root, "worker2::record1")
	if err := remove("runc-overlayfs/workerid")(root); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := Repair(root, Check(t.Context(), root)); ok || err != nil {
		t.Error(ok, err)
	}
}

// nameResult notes a result in cache.db as BuildKit does.
func nameResult(t *testing.T, root, id string) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(root, "cache.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("_byresult"))
		if err == nil {
			_, err = b.CreateBucket([]byte(id))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
