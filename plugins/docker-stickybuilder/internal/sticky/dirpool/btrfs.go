package dirpool

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/imagefs"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
)

// snapshots makes each root a btrfs subvolume, so that a clone is one snapshot,
// whatever the size.
type snapshots struct{}

// The inode number of a subvolume's top directory (BTRFS_FIRST_FREE_OBJECTID).
const subvolumeInode = 256

func isSubvolume(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Ino == subvolumeInode
}

// method is "reflink" for a root that was copied here from elsewhere and so is no
// subvolume.
func (snapshots) method(src string) string {
	if isSubvolume(src) {
		return "snapshot"
	}
	return "reflink"
}

func (snapshots) create(dst string) error {
	if err := subvolumeIoctl(dst, ioctlSubvolCreate, 0); err != nil {
		return err
	}
	return os.Chmod(dst, 0o700)
}

func (s snapshots) clone(ctx context.Context, dst, src string, progress func(int64, int64)) (tree.Size, error) {
	if isSubvolume(src) {
		from, err := os.Open(src)
		if err != nil {
			return tree.Size{}, err
		}
		defer from.Close()
		return tree.Size{}, subvolumeIoctl(dst, ioctlSnapCreateV2, from.Fd())
	}
	if err := s.create(dst); err != nil {
		return tree.Size{}, err
	}
	return tree.Clone(ctx, dst, src, tree.Options{Method: tree.Reflink, Progress: progress})
}

func (snapshots) seal(root string) error {
	if !isSubvolume(root) {
		return nil
	}
	return setReadOnly(root, true)
}

func (snapshots) remove(root string) error {
	if !isSubvolume(root) {
		return os.RemoveAll(root)
	}
	if err := setReadOnly(root, false); err != nil {
		return err
	}
	err := subvolumeIoctl(root, ioctlSnapDestroyV2, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (snapshots) reclaim(ctx context.Context, dir string) error {
	return imagefs.Reclaim(ctx, dir, 10*time.Second)
}

// Numbers and structure from linux/btrfs.h.
const (
	ioctlSubvolCreate   = 0x5000940e // BTRFS_IOC_SUBVOL_CREATE, struct btrfs_ioctl_vol_args
	ioctlSnapCreateV2   = 0x50009417 // BTRFS_IOC_SNAP_CREATE_V2, struct btrfs_ioctl_vol_args_v2
	ioctlSnapDestroyV2  = 0x5000943f // BTRFS_IOC_SNAP_DESTROY_V2, struct btrfs_ioctl_vol_args_v2
	ioctlSubvolSetFlags = 0x4008941a // BTRFS_IOC_SUBVOL_SETFLAGS, __u64
	subvolReadOnly      = 2          // BTRFS_SUBVOL_RDONLY
)

// subvolumeIoctl runs a request on the directory that holds path, about the
// name that path has there.
func subvolumeIoctl(path string, request uintptr, from uintptr) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(path)
	// struct btrfs_ioctl_vol_args: fd, name. The second version has transid,
	// flags and four unused words between the two. Both are 4096 bytes.
	var args [4096]byte
	binary.NativeEndian.PutUint64(args[:], uint64(from))
	at := 8
	if request != ioctlSubvolCreate {
		at = 56
	}
	if len(name) >= len(args)-at {
		return &os.PathError{Op: "btrfs", Path: path, Err: unix.ENAMETOOLONG}
	}
	copy(args[at:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), request, uintptr(unsafe.Pointer(&args[0]))); errno != 0 {
		return &os.PathError{Op: "btrfs ioctl", Path: path, Err: errno}
	}
	return nil
}

func setReadOnly(root string, on bool) error {
	f, err := os.Open(root)
	if err != nil {
		return err
	}
	defer f.Close()
	var flags uint64
	if on {
		flags = subvolReadOnly
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctlSubvolSetFlags, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return &os.PathError{Op: "btrfs subvolume flags", Path: root, Err: errno}
	}
	return nil
}
