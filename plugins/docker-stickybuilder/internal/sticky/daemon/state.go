package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Patterns, below a root, of what is no state: locks of a daemon that has ended,
// rescued databases, and directories for mounts.
var leftovers = []string{"buildkitd.lock", "*.bak", "*/*.bak", "*/executor/*", "*/cachemounts/*"}

// Tidy removes from the root of a daemon that has ended what the next one has no
// use for. Nothing may be mounted below.
func Tidy(root string) error {
	var errs []error
	for _, pattern := range leftovers {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		errs = append(errs, err)
		for _, p := range paths {
			errs = append(errs, os.RemoveAll(p))
		}
	}
	return errors.Join(errs...)
}

// databases are the patterns of bolt files below a root. The first ones must be
// there: without them nothing is found again.
var databases = []struct {
	pattern  string
	required bool
}{
	{"cache.db", true},
	{"*/containerdmeta.db", true},
	{"*/metadata_v2.db", true},
	{"history.db", false},
	{"*/snapshots/metadata.db", false},
}

// A DatabaseError says what is wrong with one database.
type DatabaseError struct {
	Name string // below the root; a pattern if there is no such file
	Err  error
}

func (e *DatabaseError) Error() string { return fmt.Sprintf("checking %s: %v", e.Name, e.Err) }
func (e *DatabaseError) Unwrap() error { return e.Err }

// Check reads every database of a daemon that has ended from its first page to
// its last, and looks whether the worker still has the name by which the cache
// knows it. A nil error means that all are sound; what is wrong with databases are
// DatabaseErrors.
func Check(ctx context.Context, root string) error {
	var errs []error
	for _, d := range databases {
		paths, err := filepath.Glob(filepath.Join(root, d.pattern))
		if err == nil && len(paths) == 0 && d.required {
			err = &DatabaseError{d.pattern, errors.New("it is missing")}
		}
		errs = append(errs, err)
		for _, p := range paths {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := checkDatabase(p); err != nil {
				name, _ := filepath.Rel(root, p)
				errs = append(errs, &DatabaseError{name, err})
			}
		}
	}
	return errors.Join(append(errs, checkWorkers(root))...)
}

// maxFindings bounds how many of a damaged database's faults are listed.
const maxFindings = 3

func checkDatabase(path string) (err error) {
	// bbolt maps the file, and panics or faults on some kinds of damage.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged: %v", r)
		}
	}()
	if st, err := os.Lstat(path); err != nil {
		return err
	} else if !st.Mode().IsRegular() || st.Size() == 0 {
		return errors.New("damaged: not a file with contents")
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		return checkPages(tx)
	})
}

// checkPages first walks over everything in this goroutine, where a fault
// becomes a panic: bbolt's own, more thorough check runs in another one, where
// it would end the process.
func checkPages(tx *bolt.Tx) error {
	if err := tx.ForEach(walkBucket); err != nil {
		return err
	}
	var findings []error
	for err := range tx.Check() {
		if len(findings) < maxFindings {
			findings = append(findings, err)
		}
	}
	return errors.Join(findings...)
}

func walkBucket(_ []byte, b *bolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			child := b.Bucket(k)
			if child == nil {
				return errors.New("damaged: a bucket without contents")
			}
			return walkBucket(k, child)
		}
		touch(k)
		touch(v)
		return nil
	})
}

// touch reads the bytes, so that pages behind the end of a cut-off file show.
func touch(b []byte) {
	const page = 4096
	var sum byte
	for i := 0; i < len(b); i += page {
		sum ^= b[i]
	}
	if len(b) > 0 {
		sum ^= b[len(b)-1]
	}
	runtime.KeepAlive(sum)
}
