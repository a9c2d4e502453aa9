package daemon

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// put writes a value at a path of buckets, the last element being its key.
func put(t *testing.T, db string, value []byte, path ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(db), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := bolt.Open(db, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(path[0]))
		for _, name := range path[1 : len(path)-1] {
			if err == nil {
				b, err = b.CreateBucketIfNotExists([]byte(name))
			}
		}
		if err == nil {
			err = b.Put([]byte(path[len(path)-1]), value)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

const blob = "sha256:0123"

// worker makes the root of a daemon with two snapshots and one blob.
func worker(t *testing.T) (root, dir string) {
	t.Helper()
	root = t.TempDir()
	dir = filepath.Join(root, "runc-overlayfs")
	meta, snapshots := filepath.Join(dir, "containerdmeta.db"), filepath.Join(dir, "snapshots", "metadata.db")
	for i, key := range []string{"one", "two"} {
		name := "buildkit/" + key
		put(t, meta, []byte(name), "v1", "buildkit", "snapshots", "overlayfs", key, "name")
		put(t, snapshots, binary.AppendUvarint(nil, uint64(i+1)), "v1", "snapshots", name, "id")
		if err := os.MkdirAll(filepath.Join(dir, "snapshots", "snapshots", string(rune('1'+i)), "fs"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put(t, snapshots, []byte("buildkit/one"), "v1", "snapshots", "buildkit/two", "parent")
	put(t, meta, binary.AppendVarint(nil, 4), "v1", "buildkit", "content", "blob", blob, "size")
	write(t, filepath.Join(dir, "content", "blobs", "sha256", "0123"), "text")
	return root, dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCrossCheck(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(t *testing.T, dir string)
		want string
	}{
		"sound":                    {func(*testing.T, string) {}, ""},
		"no directory":             {func(t *testing.T, dir string) { remove(t, dir, "snapshots/snapshots/2") }, "snapshot buildkit/two has no directory 2"},
		"all directories are gone": {func(t *testing.T, dir string) { remove(t, dir, "snapshots/snapshots") }, "has no directory"},
		"a file in its place": {func(t *testing.T, dir string) {
			remove(t, dir, "snapshots/snapshots/2")
			write(t, filepath.Join(dir, "snapshots/snapshots/2"), "")
		}, "snapshot buildkit/two has no directory 2"},
		"not known to the snapshotter": {func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "containerdmeta.db"), []byte("buildkit/3"), "v1", "buildkit", "snapshots", "overlayfs", "three", "name")
		}, "snapshot three is not known to the snapshotter"},
		"no parent": {func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "snapshots", "metadata.db"), []byte("buildkit/none"), "v1", "snapshots", "buildkit/two", "parent")
		}, "snapshot buildkit/two has lost its parent buildkit/none"},
		"no number": {func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "snapshots", "metadata.db"), nil, "v1", "snapshots", "buildkit/two", "id")
		}, "snapshot buildkit/two has no directory's number"},
		"no blob":    {func(t *testing.T, dir string) { remove(t, dir, "content/blobs/sha256/0123") }, "blob sha256:0123 is missing"},
		"short blob": {func(t *testing.T, dir string) { write(t, filepath.Join(dir, "content/blobs/sha256/0123"), "te") }, "blob sha256:0123 has 2 bytes instead of 4"},
	} {
		t.Run(name, func(t *testing.T) {
			root, dir := worker(t)
			c.harm(t, dir)
			h, err := CrossCheck(t.Context(), root)
			if c.want == "" {
				if err != nil || h != (Holdings{Snapshots: 2, Blobs: 1}) {
					t.Errorf("%+v, %v", h, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "checking runc-overlayfs: ") {
				t.Errorf("%v", err)
			}
		})
	}
}

// Space that a crash has lost is no reason to lose a cache.
func TestCrossCheckCountsOrphans(t *testing.T) {
	root, dir := worker(t)
	if err := os.Mkdir(filepath.Join(dir, "snapshots", "snapshots", "99"), 0o700); err != nil {
		t.Fatal(err)
	}
	if h, err := CrossCheck(t.Context(), root); err != nil || h.Orphans != 1 {
		t.Errorf("%+v, %v", h, err)
	}
}

// A snapshotter that keeps its state otherwise is left to itself.
func TestCrossCheckOfAnotherSnapshotter(t *testing.T) {
	root, dir := worker(t)
	remove(t, dir, "snapshots")
	if h, err := CrossCheck(t.Context(), root); err != nil || h.Snapshots != 2 {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestCrossCheckListsAFew(t *testing.T) {
	root, dir := worker(t)
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		put(t, filepath.Join(dir, "containerdmeta.db"), nil, "v1", "buildkit", "content", "blob", "sha256:"+id, "size")
	}
	_, err := CrossCheck(t.Context(), root)
	if err == nil || strings.Count(err.Error(), "missing") != maxFindings || !strings.Contains(err.Error(), "and 2 more") {
		t.Errorf("%v", err)
	}
}

func remove(t *testing.T, dir, path string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, path)); err != nil {
		t.Fatal(err)
	}
}

// Who may not read a disk must not condemn it.
func TestCannotTell(t *testing.T) {
	root, dir := worker(t)
	db, err := bolt.Open(filepath.Join(dir, "containerdmeta.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := CrossCheck(t.Context(), root); err == nil || !CannotTell(err) {
		t.Errorf("a database that somebody uses: %v", err)
	}
	if err := errors.Join(errors.New("x"), &os.PathError{Err: os.ErrPermission}); !CannotTell(err) {
		t.Error(err)
	}
	for _, err := range []error{nil, errors.New("damaged"), os.ErrNotExist} {
		if CannotTell(err) {
			t.Error(err)
		}
	}
}
