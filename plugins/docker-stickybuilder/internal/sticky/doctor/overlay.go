package doctor

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// overlay tells whether up would refuse to run a buildkitd that copies every layer.
func (d *Diagnosis) overlay(o Options) {
	if !o.IsRoot || o.Overlay == nil {
		if b, err := os.ReadFile("/proc/filesystems"); err == nil && !hasLine(string(b), "overlay") {
			d.add(Process, "overlayfs", Warning, "the kernel has not loaded it", "load it: modprobe overlay")
			return
		}
		d.add(Process, "overlayfs", OK, "the kernel has it; whether it can be mounted only root can tell", "")
		return
	}
	dir := tree.Nearest(o.Home)
	err := o.Overlay(dir)
	kernel := errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM)
	switch {
	case err == nil:
		d.add(Process, "overlayfs", OK, "it can be mounted in "+dir, "")
	case !errors.Is(err, daemon.ErrNoOverlay):
		d.add(Process, "overlayfs", Warning, err.Error(), "")
	case !kernel && inFile(o):
		d.add(Process, "overlayfs", OK, "the kernel has it, and the pool is in a filesystem of its own", "")
	default:
		d.add(Process, "overlayfs", Missing, err.Error(), fault.HintOf(err))
	}
}

// inFile reports whether the pool is in a file, or would be.
func inFile(o Options) bool {
	if _, err := os.Stat(filepath.Join(o.Home, "pool.json")); err == nil {
		_, err = os.Stat(filepath.Join(o.Home, "pool.img"))
		return err == nil
	}
	why, _ := noImage(o)
	return why == ""
}
