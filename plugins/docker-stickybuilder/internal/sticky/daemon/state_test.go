package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// newRoot makes a root as a buildkitd leaves it, as far as Check looks.
func newRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range []string{"cache.db", "history.db", "runc-overlayfs/containerdmeta.db", "runc-overlayfs/metadata_v2.db", "runc-overlayfs/snapshots/metadata.db"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error {
			for i := range 20 {
				b, err := tx.CreateBucket([]byte(fmt.Sprint("bucket", i)))
				if err != nil {
					return err
				}
				inner, err := b.CreateBucket([]byte("inner"))
				if err != nil {
					return err
				}
				for k := range 200 {
					if err := inner.Put([]byte(fmt.Sprint("key", k)), []byte(strings.Repeat("v", k))); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "runc-overlayfs", workerFile), []byte("worker1"), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestCheck(t *testing.T) {
	if err := Check(t.Context(), newRoot(t)); err != nil {
		t.Errorf("a sound root: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(ctx, newRoot(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	edit := func(name string, fn func(b []byte) []byte) func(string) error {
		return func(root string) error {
			path := filepath.Join(root, name)
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, fn(b), 0o600)
		}
	}
	zero := func(from, to int) func(b []byte) []byte {
		return func(b []byte) []byte { clear(b[from:min(to, len(b))]); return b }
	}
	for name, damage := range map[string]func(string) error{
		"no cache.db":    func(root string) error { return os.Remove(filepath.Join(root, "cache.db")) },
		"no worker":      func(root string) error { return os.RemoveAll(filepath.Join(root, "runc-overlayfs")) },
		"empty cache.db": edit("cache.db", func([]byte) []byte { return nil }),
		"directory": func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, "cache.db")), os.Mkdir(filepath.Join(root, "cache.db"), 0o700))
		},
		"text":                  edit("cache.db", func([]byte) []byte { return []byte(strings.Repeat("no database ", 1000)) }),
		"no worker's name":      func(root string) error { return os.Remove(filepath.Join(root, "runc-overlayfs", workerFile)) },
		"an odd worker's name":  edit("runc-overlayfs/workerid", func([]byte) []byte { return make([]byte, 25) }),
		"both meta pages":       edit("history.db", zero(0, 8192)),
		"pages in the middle":   edit("runc-overlayfs/containerdmeta.db", zero(16<<10, 64<<10)),
		"everything but meta":   edit("runc-overlayfs/metadata_v2.db", zero(8192, 1<<30)),
		"cut in half":           edit("cache.db", func(b []byte) []byte { return b[:len(b)/2] }),
		"cut to its meta pages": edit("runc-overlayfs/snapshots/metadata.db", func(b []byte) []byte { return b[:8192] }),
		"cut within a page":     edit("runc-overlayfs/metadata_v2.db", func(b []byte) []byte { return b[:20<<10+100] }),
	} {
		root := newRoot(t)
		if err := damage(root); err != nil {
			t.Fatal(err)
		}
		if err := Check(t.Context(), root); err == nil {
			t.Errorf("%s: taken for sound", name)
		} else if len(err.Error()) > 2000 {
			t.Errorf("%s: %d bytes of error", name, len(err.Error()))
		}
	}
}

func TestTidy(t *testing.T) {
	root := newRoot(t)
	for _, name := range []string{"buildkitd.lock", "cache.db.bak", "runc-overlayfs/x.bak", "runc-overlayfs/executor/abc/rootfs", "runc-overlayfs/cachemounts/buildkit1", "runc-overlayfs/snapshots/snapshots/1/fs/keep.bak"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := Tidy(root); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, pattern := range []string{"*", "*/*", "*/executor/*", "*/snapshots/snapshots/1/fs/*"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, f := range found {
			name, _ := filepath.Rel(root, f)
			left = append(left, name)
		}
	}
	want := "cache.db history.db runc-overlayfs runc-overlayfs/cachemounts runc-overlayfs/containerdmeta.db runc-overlayfs/executor runc-overlayfs/metadata_v2.db runc-overlayfs/snapshots runc-overlayfs/workerid runc-overlayfs/snapshots/snapshots/1/fs/keep.bak"
	if got := strings.Join(left, " "); got != want {
		t.Errorf("left %s\nwant %s", got, want)
	}
	if err := Check(t.Context(), root); err != nil {
		t.Error(err)
	}
}
