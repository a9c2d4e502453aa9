package testbed

import (
	"errors"
	"io/fs"
	"os"
	"slices"
)

// hostDirs are those that the engines create outside of their own directories,
// whatever they are told; inner ones first.
var hostDirs = []string{
	"/run/docker/plugins", "/run/docker/containerd", "/run/docker/runtime-runc/moby", "/run/docker/runtime-runc", "/run/docker",
	"/run/containerd/s", "/run/containerd/fifo", "/run/containerd/runc/moby", "/run/containerd/runc", "/run/containerd",
}

// noteHostDirs remembers which of hostDirs are not there before an engine starts.
func (b *Bed) noteHostDirs() error {
	for _, dir := range hostDirs {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) && !slices.Contains(b.State.HostDirs, dir) {
			b.State.HostDirs = append(b.State.HostDirs, dir)
		}
	}
	return b.save()
}

// removeHostDirs removes those that were noted, as far as they are empty: with
// something in them they have become another's.
func (b *Bed) removeHostDirs() error {
	for _, dir := range hostDirs {
		if slices.Contains(b.State.HostDirs, dir) {
			os.Remove(dir)
		}
	}
	b.State.HostDirs = nil
	return b.save()
}
