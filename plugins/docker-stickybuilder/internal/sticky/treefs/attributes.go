package treefs

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

// attributes gives a name its owner, mode, extended attributes and time, in this order: a
// change of owner takes the set-uid bits and the capabilities away.
func (w *walker) attributes(e *treeindex.Entry, fresh bool) error {
	fd, name, err := w.at(e.Path)
	if err != nil {
		return err
	}
	if err := unix.Fchownat(fd, name, int(e.UID), int(e.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.fail("chown", e.Path, err)
	}
	if e.Kind != treeindex.Symlink {
		if err := unix.Fchmodat(fd, name, e.Mode, 0); err != nil {
			return w.fail("chmod", e.Path, err)
		}
	}
	if len(e.Xattrs) > 0 || !fresh {
		if err := writeXattrs(fmt.Sprintf("/proc/self/fd/%d/%s", fd, name), e.Xattrs, fresh); err != nil {
			return err
		}
	}
	at := times(e)
	if err := unix.UtimesNanoAt(fd, name, at[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.fail("utimensat", e.Path, err)
	}
	return nil
}

// fileAttributes is the same for a new file that is open.
func (a *Applier) fileAttributes(fd int, e *treeindex.Entry) error {
	if err := unix.Fchown(fd, int(e.UID), int(e.GID)); err != nil {
		return a.fail("chown", e.Path, err)
	}
	if err := unix.Fchmod(fd, e.Mode); err != nil {
		return a.fail("chmod", e.Path, err)
	}
	for _, x := range e.Xattrs {
		if err := unix.Fsetxattr(fd, x.Name, []byte(x.Value), 0); err != nil {
			return a.fail("fsetxattr "+x.Name, e.Path, err)
		}
	}
	return a.setTimes(fd, e)
}

func (a *Applier) setTimes(fd int, e *treeindex.Entry) error {
	at := times(e)
	// No path: the file itself (futimens(3)).
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&at[0])), 0, 0, 0); errno != 0 {
		return a.fail("utimensat", e.Path, errno)
	}
	return nil
}

func times(e *treeindex.Entry) [2]unix.Timespec {
	at := unix.Timespec{Sec: e.Seconds, Nsec: int64(e.Nanos)}
	return [2]unix.Timespec{at, at}
}
