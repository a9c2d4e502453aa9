package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// Holdings are what one worker's databases say is on the disk.
type Holdings struct {
	Snapshots int `json:"snapshots"` // known snapshots
	Blobs     int `json:"blobs"`     // known blobs
	Orphans   int `json:"orphans"`   // snapshot directories that nothing refers to: space lost, and no harm
}

// CrossCheck compares the databases of a daemon that has ended with the files
// beside them: each snapshot in containerdmeta.db is known to the snapshotter, has
// a directory and, where it has a parent, that parent; each blob is there in full.
// The databases themselves are for [Check].
func CrossCheck(ctx context.Context, root string) (Holdings, error) {
	var all Holdings
	metas, err := filepath.Glob(filepath.Join(root, "*", "containerdmeta.db"))
	errs := []error{err}
	for _, m := range metas {
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		h, err := crossCheckWorker(filepath.Dir(m))
		all.Snapshots += h.Snapshots
		all.Blobs += h.Blobs
		all.Orphans += h.Orphans
		if err != nil {
			errs = append(errs, fmt.Errorf("checking %s: %w", filepath.Base(filepath.Dir(m)), err))
		}
	}
	return all, errors.Join(errs...)
}

// CannotTell reports whether an error of Check or CrossCheck is about this process
// and not about the disk: what is not allowed, or not to be had just now, says
// nothing about what it would have read.
func CannotTell(err error) bool {
	for _, e := range []error{fs.ErrPermission, bolterrors.ErrTimeout, unix.EMFILE, unix.ENFILE, unix.ENOMEM, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// findings collects what is wrong, and forgets all but the first few.
type findings struct {
	first []error
	n     int
}

func (f *findings) add(format string, args ...any) {
	if f.n++; f.n <= maxFindings {
		f.first = append(f.first, fmt.Errorf(format, args...))
	}
}

func (f *findings) err() error {
	if more := f.n - len(f.first); more > 0 {
		f.first = append(f.first, fmt.Errorf("and %d more", more))
	}
	return errors.Join(f.first...)
}

func crossCheckWorker(dir string) (h Holdings, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged: %v", r)
		}
	}()
	var f findings
	known, err := snapshotIDs(filepath.Join(dir, "snapshots", "metadata.db"), &f)
	if err != nil {
		return h, err
	}
	if _, err := os.Lstat(filepath.Join(dir, "snapshots", "snapshots")); known == nil && err == nil {
		f.add("the snapshotter's database is missing")
	}
	if known != nil {
		if h.Orphans, err = compareDirectories(filepath.Join(dir, "snapshots", "snapshots"), known, &f); err != nil {
			return h, err
		}
	}
	err = view(filepath.Join(dir, "containerdmeta.db"), func(tx *bolt.Tx) error {
		return eachBucket(tx.Bucket([]byte("v1")), func(_ string, namespace *bolt.Bucket) error {
			h.Snapshots += checkSnapshots(namespace.Bucket([]byte("snapshots")), known, &f)
			h.Blobs += checkBlobs(namespace.Bucket([]byte("content")), filepath.Join(dir, "content", "blobs"), &f)
			return nil
		})
	})
	if err != nil {
		return h, err
	}
	return h, f.err()
}

// snapshotIDs reads the snapshotter's own database: the directory of each name. It
// is nil if the snapshotter has none, as others than overlayfs and native may.
func snapshotIDs(path string, f *findings) (map[string]string, error) {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	ids := map[string]string{}
	err := view(path, func(tx *bolt.Tx) error {
		v1 := tx.Bucket([]byte("v1"))
		if v1 == nil || v1.Bucket([]byte("snapshots")) == nil {
			return nil
		}
		snapshots := v1.Bucket([]byte("snapshots"))
		return eachBucket(snapshots, func(name string, b *bolt.Bucket) error {
			id, n := binary.Uvarint(b.Get([]byte("id")))
			if n <= 0 {
				f.add("snapshot %s has no directory's number", name)
				return nil
			}
			if parent := b.Get([]byte("parent")); len(parent) > 0 && snapshots.Bucket(parent) == nil {
				f.add("snapshot %s has lost its parent %s", name, parent)
			}
			ids[name] = strconv.FormatUint(id, 10)
			return nil
		})
	})
	return ids, err
}

// compareDirectories returns how many directories no snapshot names.
func compareDirectories(dir string, known map[string]string, f *findings) (orphans int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	there := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() {
			there[e.Name()] = true
		}
	}
	for name, id := range known {
		if !there[id] {
			f.add("snapshot %s has no directory %s", name, id)
		}
	}
	wanted := map[string]bool{}
	for _, id := range known {
		wanted[id] = true
	}
	for name := range there {
		if !wanted[name] {
			orphans++
		}
	}
	return orphans, nil
}

// checkSnapshots compares containerd's names with the snapshotter's.
func checkSnapshots(b *bolt.Bucket, known map[string]string, f *findings) (n int) {
	_ = eachBucket(b, func(_ string, snapshotter *bolt.Bucket) error {
		return eachBucket(snapshotter, func(key string, s *bolt.Bucket) error {
			n++
			if _, ok := known[string(s.Get([]byte("name")))]; !ok && known != nil {
				f.add("snapshot %s is not known to the snapshotter", key)
			}
			return nil
		})
	})
	return n
}

// checkBlobs looks whether each blob's file has the size that containerd noted.
func checkBlobs(b *bolt.Bucket, dir string, f *findings) (n int) {
	if b == nil {
		return 0
	}
	_ = eachBucket(b.Bucket([]byte("blob")), func(dgst string, blob *bolt.Bucket) error {
		n++
		algorithm, hex, _ := strings.Cut(dgst, ":")
		size, read := binary.Varint(blob.Get([]byte("size")))
		st, err := os.Lstat(filepath.Join(dir, filepath.Base(algorithm), filepath.Base(hex)))
		switch {
		case err != nil:
			f.add("blob %s is missing", dgst)
		case read > 0 && st.Size() != size:
			f.add("blob %s has %d bytes instead of %d", dgst, st.Size(), size)
		}
		return nil
	})
	return n
}

func eachBucket(b *bolt.Bucket, fn func(name string, b *bolt.Bucket) error) error {
	if b == nil {
		return nil
	}
	return b.ForEachBucket(func(k []byte) error { return fn(string(k), b.Bucket(k)) })
}

func view(path string, fn func(*bolt.Tx) error) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(fn)
}
