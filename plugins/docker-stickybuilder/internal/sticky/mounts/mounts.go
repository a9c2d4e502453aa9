// Package mounts finds and removes the mounts below a directory, so that the
// directory can be removed without reaching into what was mounted there.
package mounts

import (
	"fmt"
	"path/filepath"
	"sort"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Below lists the mount points below dir and at dir itself, deepest first.
func Below(dir string) ([]string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	found, err := mountinfo.GetMounts(mountinfo.PrefixFilter(real))
	if err != nil {
		return nil, fmt.Errorf("listing mounts below %s: %w", dir, err)
	}
	points := make([]string, len(found))
	for i, m := range found {
		points[i] = m.Mountpoint
	}
	sort.Slice(points, func(i, j int) bool { return len(points[i]) > len(points[j]) })
	return points, nil
}

// UnmountBelow removes all mounts below dir, lazily where one is busy, and
// returns how many there were. It fails if one cannot be removed.
func UnmountBelow(dir string) (int, error) {
	points, err := Below(dir)
	if err != nil {
		return 0, err
	}
	for _, p := range points {
		if err := unix.Unmount(p, unix.UMOUNT_NOFOLLOW); err != nil {
			if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
				return 0, fmt.Errorf("unmounting %s: %w", p, err)
			}
		}
	}
	return len(points), nil
}
