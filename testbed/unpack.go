package testbed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unpack returns a directory of the cache, name, with the files of Debian packages
// that are not installed: no service, group or configuration comes with them. Apt
// fetches and checks them as it does for an installation. probe is a file of
// theirs, by which it is known that this has been done.
func (b *Bed) unpack(ctx context.Context, name, probe string, packages []string) (dir string, err error) {
	dir = filepath.Join(b.Cache, name)
	if _, err := os.Stat(filepath.Join(dir, probe)); err == nil {
		return dir, nil
	}
	if err := b.aptUpdate(ctx); err != nil {
		return "", err
	}
	end := b.Log.Step("unpacking %s", strings.Join(packages, " "))
	defer func() { end(err) }()
	work, err := b.workDir(name)
	if err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	defer b.discard(work)
	download := append([]string{"apt-get", "download", "-q", "-o", "APT::Sandbox::User=root"}, packages...)
	if err := asRoot(ctx, work, aptEnv, download...); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return "", err
	}
	for _, deb := range debs {
		if err := asRoot(ctx, work, nil, "dpkg-deb", "-x", deb, filepath.Join(work, "root")); err != nil {
			return "", fmt.Errorf("unpacking %s: %w", name, err)
		}
	}
	if err := b.removeTree(dir); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(work, "root"), dir); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	return dir, nil
}

// libraries are the directories of unpacked libraries, for LD_LIBRARY_PATH.
func libraries(dir string) string {
	lib, _ := filepath.Glob(filepath.Join(dir, "lib", "*-linux-*"))
	usr, _ := filepath.Glob(filepath.Join(dir, "usr/lib", "*-linux-*"))
	return strings.Join(slices.Concat(lib, usr), ":")
}
