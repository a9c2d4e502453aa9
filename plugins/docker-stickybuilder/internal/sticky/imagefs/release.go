package imagefs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
)

// Mounted lists the mount points in this mount namespace, sorted, at which a whole
// btrfs filesystem from a loop device is mounted under that name. These may be Open's.
func Mounted(name string) ([]string, error) {
	found, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("btrfs"))
	var points []string
	for _, m := range found {
		if filepath.Base(m.Mountpoint) == name && filepath.Dir(m.Source) == "/dev" && m.Root == "/" && !slices.Contains(points, m.Mountpoint) {
			points = append(points, m.Mountpoint)
		}
	}
	slices.Sort(points)
	return points, err
}

// Release unmounts what a process that was killed has left mounted, unless somebody
// uses it or is about to. It reports whether it did.
func Release(mountpoint, lock string) (bool, error) {
	gate, err := durable.TakeLock(context.Background(), lock, durable.Exclusive, 0)
	if errors.Is(err, durable.ErrLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer gate.Close()
	return release(mountpoint)
}

// release unmounts it unless it is in use. The caller holds the lock.
func release(mountpoint string) (bool, error) {
	switch err := unix.Unmount(mountpoint, unix.UMOUNT_NOFOLLOW); {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EINVAL):
		return false, nil // not the last one, or somebody was quicker
	default:
		return false, &os.PathError{Op: "unmounting", Path: mountpoint, Err: err}
	}
}
