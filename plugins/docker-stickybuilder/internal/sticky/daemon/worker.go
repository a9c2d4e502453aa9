package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// A worker's name is in a file of its own, beside its databases. With another one
// it finds nothing of the cache again, since a result is WORKER::RECORD there.
const workerFile = "workerid"

func checkWorkers(root string) error {
	metas, err := filepath.Glob(filepath.Join(root, "*", "containerdmeta.db"))
	if err != nil {
		return err
	}
	for _, m := range metas {
		path := filepath.Join(filepath.Dir(m), workerFile)
		id, err := os.ReadFile(path)
		if err == nil && len(bytes.TrimSpace(id)) > 0 && validWorker(id) {
			continue
		}
		name, _ := filepath.Rel(root, path)
		return &DatabaseError{name, fmt.Errorf("the worker's name is lost")}
	}
	return nil
}

// validWorker refuses what no daemon has written: names are printable.
func validWorker(id []byte) bool {
	for _, c := range bytes.TrimSpace(id) {
		if c < '!' || c > '~' {
			return false
		}
	}
	return len(id) <= 256
}

// nameWorker writes down the name by which the cache knows the only worker.
func nameWorker(root, file string) error {
	var id []byte
	err := view(filepath.Join(root, "cache.db"), func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("_byresult"))
		if b == nil {
			return nil
		}
		return b.ForEachBucket(func(k []byte) error {
			name, _, found := bytes.Cut(k, []byte("::"))
			if !found || !validWorker(name) || (id != nil && !bytes.Equal(id, name)) {
				return fmt.Errorf("result %q is of another worker", k)
			}
			id = bytes.Clone(name)
			return nil
		})
	})
	if err != nil {
		return err
	}
	if len(id) == 0 {
		return fmt.Errorf("the cache names none")
	}
	return os.WriteFile(filepath.Join(root, file), id, 0o600)
}
