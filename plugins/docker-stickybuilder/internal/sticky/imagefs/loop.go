package imagefs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// attach returns an open loop device that has the file at path: the one that has
// it already, since one filesystem must not be mounted by way of two, or a new one.
// shared tells which. It is free again when the last that has it open or mounted is
// done. The caller sees to it that nobody else attaches the file meanwhile.
func attach(path string) (device *os.File, shared bool, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	if d := attached(file); d != nil {
		return d, true, nil
	}
	device, err = attachNew(file)
	return device, false, err
}

func attachNew(file *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("no loop devices: %w", err)
	}
	defer control.Close()
	const tries = 20 // others take devices too
	for range tries {
		var n int
		if n, err = unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE); err != nil {
			return nil, fmt.Errorf("looking for a free loop device: %w", err)
		}
		var device *os.File
		if device, err = open(n); err != nil {
			return nil, fmt.Errorf("no loop devices: %w", err)
		}
		if err = configure(device, file); err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return nil, fmt.Errorf("attaching %s to a loop device: %w", file.Name(), err)
}

// open opens a loop device. A container's /dev does not learn of new ones.
func open(n int) (*os.File, error) {
	path := fmt.Sprintf("/dev/loop%d", n)
	device, err := os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return device, err
	}
	const major = 7
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(major, uint32(n)))); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mknod", Path: path, Err: err}
	}
	return os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC, 0)
}

// configure leaves direct I/O off. By way of the file's own page cache, what one job
// has written or read is in memory for the next one: the caches of the filesystem inside
// go with its unmount, and a snapshot's files have new ones anyway. That holds some things
// twice, but what is clean gives way to whoever needs the memory. A flush of the device
// syncs the file, so what a transaction promises is the same.
func configure(device, file *os.File) error {
	c := unix.LoopConfig{Fd: uint32(file.Fd())}
	c.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	copy(c.Info.File_name[:len(c.Info.File_name)-1], file.Name())
	err := unix.IoctlLoopConfigure(int(device.Fd()), &c)
	if errors.Is(err, unix.EINVAL) {
		return errors.New("the kernel is too old (Linux 5.8 is needed)")
	}
	return err
}

// attached finds the device that has the file, nil if none has.
func attached(file *os.File) *os.File {
	var st unix.Stat_t
	if unix.Fstat(int(file.Fd()), &st) != nil {
		return nil
	}
	busy, _ := filepath.Glob("/sys/block/loop*/loop")
	for _, dir := range busy {
		device, err := os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(dir))), os.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		// Open, it cannot be freed any more; it may have been before.
		info, err := unix.IoctlLoopGetStatus64(int(device.Fd()))
		if err == nil && info.Device == uint64(st.Dev) && info.Inode == st.Ino { //nolint:unconvert // some architectures have 32 bits
			return device
		}
		device.Close()
	}
	return nil
}
