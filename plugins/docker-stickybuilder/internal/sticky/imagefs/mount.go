package imagefs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

type mountState int

const (
	absent mountState = iota
	readOnly
	writable
)

// mounted tells what is mounted at the mount point in this mount namespace. Others
// have mounts of their own, of the same filesystem.
func (f *FS) mounted() (mountState, error) {
	var above, here unix.Stat_t
	if err := unix.Lstat(f.mountpoint, &here); err != nil {
		return absent, &os.PathError{Op: "lstat", Path: f.mountpoint, Err: err}
	}
	if err := unix.Stat(f.mountpoint+"/..", &above); err != nil {
		return absent, &os.PathError{Op: "stat", Path: f.mountpoint, Err: err}
	}
	if above.Dev == here.Dev {
		return absent, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(f.mountpoint, &st); err != nil {
		return absent, &os.PathError{Op: "statfs", Path: f.mountpoint, Err: err}
	}
	switch {
	case st.Type != unix.BTRFS_SUPER_MAGIC:
		return absent, fmt.Errorf("something else is mounted at %s", f.mountpoint)
	case st.Flags&unix.ST_RDONLY != 0:
		return readOnly, nil
	}
	return writable, nil
}

// mount attaches the file to a loop device, lets the filesystem grow, and mounts it.
func (f *FS) mount() error {
	size, err := grow(f.image)
	if err != nil {
		return err
	}
	device, err := attach(f.image)
	if err != nil {
		return err
	}
	defer device.Close() // the mount holds it from then on, and the last holder frees it
	// The root of the pool is private to root, so that set-user-ID programs and
	// devices of images, which BuildKit needs as they are, are out of reach.
	err = unix.Mount(device.Name(), f.mountpoint, "btrfs", unix.MS_NOATIME, "discard=async")
	if errors.Is(err, unix.EINVAL) { // Linux before 5.6, or no filesystem of ours
		err = unix.Mount(device.Name(), f.mountpoint, "btrfs", unix.MS_NOATIME, "discard")
	}
	switch {
	case errors.Is(err, unix.ENODEV):
		return errors.New("the kernel has no btrfs")
	case err != nil:
		return fault.Hint(fmt.Errorf("mounting %s as btrfs: %w", device.Name(), err),
			"see what the kernel says: dmesg; check the file: btrfs check %s; or remove the pool's directory to begin anew", f.image)
	}
	if err := resize(f.mountpoint, size); err != nil {
		return errors.Join(err, unix.Unmount(f.mountpoint, unix.UMOUNT_NOFOLLOW))
	}
	return nil
}
