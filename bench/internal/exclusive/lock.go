// Package exclusive keeps benchmarks from disturbing each other.
package exclusive

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Lock sees to it that only one benchmark works in a cache, and on a machine whose
// benchmarks share it. It is held until the file is closed.
func Lock(cache string) (*os.File, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(cache, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fault.Hint(fmt.Errorf("locking the cache %s: another benchmark runs (%w)", cache, err), "wait for it, or choose another directory with -cache")
	}
	return f, nil
}
