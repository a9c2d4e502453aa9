//go:build unix

package repack

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockDir waits until no other process, and nobody else in this one, has the lock of
// a directory. It leaves nothing in it. Where directories have no locks, such as on
// NFS, nobody waits.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX), unix.EINTR) {
	}
	return func() { f.Close() }, nil
}
