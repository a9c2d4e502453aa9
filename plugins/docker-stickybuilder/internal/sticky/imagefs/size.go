package imagefs

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
)

// grain is what sizes are multiples of, so that they do not change for nothing.
const grain = 1 << 30

// capacity is how big the file at path, which may not exist yet, can get: what it
// takes up and what is free beside it, in whole grains if there is one.
func capacity(path string) (int64, error) {
	space, err := tree.Free(filepath.Dir(path))
	if err != nil {
		return 0, err
	}
	size := space.Bytes
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil {
		size += st.Blocks * 512
	}
	if size > grain {
		size -= size % grain
	}
	return size, nil
}

// grow gives a file that nobody has mounted the size that it can get. It never
// shrinks: that is for the filesystem around it to say, by being full.
func grow(path string) (size int64, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	can, err := capacity(path)
	if err != nil || can <= st.Size() {
		return st.Size(), err
	}
	return can, os.Truncate(path, can)
}

// resize makes a mounted filesystem as big as its device.
func resize(mountpoint string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(mountpoint, &st); err != nil {
		return &os.PathError{Op: "statfs", Path: mountpoint, Err: err}
	}
	if int64(st.Blocks)*st.Bsize >= size {
		return nil
	}
	// struct btrfs_ioctl_vol_args: fd, name. The name is the size.
	var args [4096]byte
	copy(args[8:], "max")
	return ioctl(mountpoint, "btrfs resize", 0x50009403, unsafe.Pointer(&args)) // BTRFS_IOC_RESIZE
}

// Trim waits for removed snapshots to be gone altogether, up to wait, and gives the
// space that is free inside back to the filesystem that the file is on. It returns
// by how many bytes the file has become smaller.
func (f *FS) Trim(ctx context.Context, wait time.Duration) (int64, error) {
	before := allocated(f.image)
	if err := Reclaim(ctx, f.mountpoint, wait); err != nil {
		return 0, err
	}
	// struct fstrim_range: start, len, minlen.
	all := [3]uint64{0, 1<<64 - 1, 0}
	if err := ioctl(f.mountpoint, "trimming", 0xc0185879, unsafe.Pointer(&all)); err != nil { // FITRIM
		return 0, err
	}
	return max(0, before-allocated(f.image)), nil
}

// Reclaim waits until the btrfs that holds dir has the space again that removed
// snapshots had, up to wait: the kernel takes them apart after the removal.
func Reclaim(ctx context.Context, dir string, wait time.Duration) error {
	const poll = 50 * time.Millisecond
	for waited := time.Duration(0); ; waited += poll {
		// It also wakes up what removes them.
		if err := commit(dir); err != nil {
			return err
		}
		left, err := orphans(dir)
		if err != nil {
			return err
		}
		if !left || waited >= wait {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(poll):
		}
	}
	// What the transaction that removed the last one has freed is free once that is
	// committed.
	return commit(dir)
}

// widenMetadata moves the metadata of a new filesystem, for which mkfs.btrfs leaves
// 8 MiB, into a chunk of the size that the kernel chooses, up to 1 GiB. Else data could
// take all other chunks, and there would be no place for the metadata by which
// anything is made, renamed or removed.
func widenMetadata(mountpoint string) error {
	// struct btrfs_ioctl_balance_args begins with flags.
	const balanceMetadata = 1 << 2
	var args [1024]byte
	binary.NativeEndian.PutUint64(args[:], balanceMetadata)
	return ioctl(mountpoint, "btrfs balance", 0xc4009420, unsafe.Pointer(&args)) // BTRFS_IOC_BALANCE_V2
}

// commit ends the present transaction.
func commit(dir string) error {
	return ioctl(dir, "btrfs sync", 0x9408, nil) // BTRFS_IOC_SYNC
}

func allocated(path string) int64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

// orphans reports whether the tree of roots still has removed subvolumes: items of
// the type and owner that linux/btrfs_tree.h names for them.
func orphans(mountpoint string) (bool, error) {
	const (
		rootTree    = 1  // BTRFS_ROOT_TREE_OBJECTID
		orphanItem  = 48 // BTRFS_ORPHAN_ITEM_KEY
		everything  = 1<<64 - 1
		orphanOwner = everything - 4 // BTRFS_ORPHAN_OBJECTID, -5
	)
	// struct btrfs_ioctl_search_args: a key of tree, objectid, offset and transid,
	// the latter three from and to; then types from and to, and the number of items.
	var args [4096]byte
	for i, v := range []uint64{rootTree, orphanOwner, orphanOwner, 0, everything, 0, everything} {
		binary.NativeEndian.PutUint64(args[8*i:], v)
	}
	for i, v := range []uint32{orphanItem, orphanItem, 1} {
		binary.NativeEndian.PutUint32(args[56+4*i:], v)
	}
	err := ioctl(mountpoint, "btrfs tree search", 0xd0009411, unsafe.Pointer(&args)) // BTRFS_IOC_TREE_SEARCH
	return binary.NativeEndian.Uint32(args[64:]) > 0, err
}

func ioctl(path, what string, request uintptr, arg unsafe.Pointer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		return &os.PathError{Op: what, Path: path, Err: errno}
	}
	return nil
}
