package imagefs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

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

// heldWait bounds the wait for copies of an earlier mount.
const (
	heldWait = 10 * time.Second
	heldPoll = 50 * time.Millisecond
)

// mount attaches the file to a loop device, lets the filesystem grow, and mounts it.
//
// A process that makes a mount namespace of its own, as each container does, copies
// all mounts for a moment, and a filesystem ends with the last copy only. One that
// has had an error stays read-only until then, and refuses to be mounted again.
func (f *FS) mount(ctx context.Context) error {
	size, err := grow(f.image)
	if err != nil {
		return err
	}
	for waited := time.Duration(0); ; waited += heldPoll {
		shared, err := f.tryMount()
		if err == nil {
			break
		}
		held := shared && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EBUSY))
		if !held || waited >= heldWait || ctx.Err() != nil {
			return err
		}
		time.Sleep(heldPoll)
	}
	if err := resize(f.mountpoint, size); err != nil {
		return errors.Join(err, unix.Unmount(f.mountpoint, unix.UMOUNT_NOFOLLOW))
	}
	return nil
}

// tryMount tells besides whether the file was attached already.
func (f *FS) tryMount() (shared bool, err error) {
	device, shared, err := attach(f.image)
	if err != nil {
		return shared, err
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
		return shared, errors.New("the kernel has no btrfs")
	case err != nil:
		return shared, fault.Hint(fmt.Errorf("mounting %s as btrfs: %w", device.Name(), err),
			"see what the kernel says: dmesg; check the file: btrfs check %s; or remove the pool's directory to begin anew", f.image)
	}
	return shared, nil
}
