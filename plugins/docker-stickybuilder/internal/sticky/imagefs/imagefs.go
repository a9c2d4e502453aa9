// Package imagefs keeps a btrfs filesystem in one sparse file of another
// filesystem, for directories whose own filesystem cannot take snapshots.
//
// The file is mounted by a loop device for as long as some process uses it. The
// kernel does the counting: a user has the mounted root open, each that is done
// tries to unmount it, and only for the last one is it not busy. The loop device
// goes with the mount. What a killed user leaves mounted is found and used, or
// unmounted, by the next one, and a machine that died leaves nothing but the file.
package imagefs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// ErrImpossible means that this machine cannot mount such a file.
var ErrImpossible = errors.New("no filesystem can be made in a file here")

// minSize is what a filesystem needs to be worth having one.
const minSize = 1 << 30

// Create makes a filesystem in a file at path, which does not exist, by mkfs, the
// path of a mkfs.btrfs. It may grow as big as the space that is free now. It is
// mounted once, since that is the only way to know that it can be: if it cannot,
// the error matches ErrImpossible, and no file is left after any error. What another
// Create that was killed has left mounted there is unmounted first. The caller sees to
// it that nobody else uses path or mountpoint meanwhile.
func Create(ctx context.Context, path, mountpoint, mkfs string) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: mounting needs root", ErrImpossible)
	}
	if mkfs == "" {
		return fault.Hint(fmt.Errorf("%w: mkfs.btrfs is not on PATH", ErrImpossible), "install it: apt-get install btrfs-progs (or your distribution's btrfs-progs package)")
	}
	size, err := capacity(path)
	if err != nil {
		return err
	}
	if size < minSize {
		return fmt.Errorf("%w: %d MiB are free, and %d are needed", ErrImpossible, size>>20, int64(minSize)>>20)
	}
	if _, err := release(mountpoint); err != nil {
		return err
	}
	tmp := path + ".tmp"
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIfThere(tmp))
		}
	}()
	if err := removeIfThere(tmp); err != nil {
		return err
	}
	if err := os.WriteFile(tmp, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(tmp, size); err != nil {
		return err
	}
	// Metadata is kept once: a second copy would be in the same file.
	out, err := exec.CommandContext(ctx, mkfs, "--quiet", "--nodiscard", "--metadata", "single", "--label", "stickybuilder", tmp).CombinedOutput()
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: %s: %w: %s", ErrImpossible, mkfs, err, lastLine(out))
	}
	if err := sync(tmp); err != nil {
		return err
	}
	if err := mountOnce(ctx, tmp, mountpoint); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func mountOnce(ctx context.Context, path, mountpoint string) error {
	fs := &FS{image: path, mountpoint: mountpoint}
	err := fs.mount(ctx)
	if err == nil {
		widened := widenMetadata(mountpoint)
		// Whatever looks at new mounts may keep it busy for a moment.
		for range 50 {
			if err = unix.Unmount(mountpoint, unix.UMOUNT_NOFOLLOW); !errors.Is(err, unix.EBUSY) || ctx.Err() != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		err = errors.Join(widened, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrImpossible, err)
	}
	return nil
}

func sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// An FS is a mounted filesystem in use.
type FS struct {
	image, mountpoint, lock string
	root                    *os.File // keeps it mounted
}

// lockWait bounds the wait for others that mount or unmount the same file.
const lockWait = 30 * time.Second

// Open mounts the file at path on mountpoint, a directory, if that has not been
// done yet. lock is the path of a file by which users wait for each other. A
// filesystem that has got more room since it was made grows into that.
//
// A file that is damaged is reported and left as it is.
func Open(ctx context.Context, path, mountpoint, lock string) (*FS, error) {
	f := &FS{image: path, mountpoint: mountpoint, lock: lock}
	gate, err := durable.TakeLock(ctx, lock, durable.Exclusive, lockWait)
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	if err := f.open(ctx); err != nil {
		return nil, fmt.Errorf("mounting %s: %w", path, err)
	}
	return f, nil
}

func (f *FS) open(ctx context.Context) error {
	if _, err := os.Stat(f.image); err != nil {
		return fault.Hint(err, "restore the file, or remove the pool's directory to begin anew")
	}
	state, err := f.mounted()
	if err == nil && state == readOnly {
		// btrfs does that after an error. Nobody's unmounting it now is the only
		// way to get on with those who still use it.
		if err := unix.Unmount(f.mountpoint, unix.UMOUNT_NOFOLLOW); err != nil {
			return fault.Hint(fmt.Errorf("it has become read-only after an error: %w", unix.EROFS), "free some space beside it if there is none, and end the builders that use it: docker stickybuilder down")
		}
		state = absent
	}
	if err == nil && state == absent {
		err = f.mount(ctx)
	}
	if err != nil {
		return err
	}
	f.root, err = os.Open(f.mountpoint)
	return err
}

// Close ends this process's use, and unmounts the file if nobody else uses it.
func (f *FS) Close() error {
	gate, err := durable.TakeLock(context.Background(), f.lock, durable.Exclusive, lockWait)
	if err != nil {
		return errors.Join(err, f.root.Close())
	}
	defer gate.Close()
	if err := f.root.Close(); err != nil {
		return nil // closed before
	}
	_, err = release(f.mountpoint)
	return err
}
