package buildkit

import (
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
)

// openLayout opens the blobs of an OCI layout for reading. The store writes a
// directory of its own beside the blobs, so it gets a temporary one with a link
// to them: the user's layout stays as it is.
func openLayout(dir string) (content.Store, func(), error) {
	blobs, err := filepath.Abs(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, nil, err
	}
	temp, err := os.MkdirTemp("", "docker-evidence-*")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { _ = os.RemoveAll(temp) }
	if err := os.Symlink(blobs, filepath.Join(temp, "blobs")); err != nil {
		remove()
		return nil, nil, err
	}
	store, err := local.NewStore(temp)
	if err != nil {
		remove()
		return nil, nil, err
	}
	return store, remove, nil
}
