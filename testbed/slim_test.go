package testbed

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSlim(t *testing.T) {
	root := t.TempDir()
	gone := []string{
		"var/lib/apt/lists/x_Release", "var/cache/apt/pkgcache.bin", "usr/share/man/man1/a.1", "usr/share/doc/a/changelog.gz",
		"etc/resolv.conf", "etc/hostname", "var/log/bootstrap.log", "etc/apt/sources.list", "var/cache/apt/archives/x.deb",
	}
	kept := []string{"usr/share/doc/a/copyright", "etc/debian_version"}
	for _, f := range append(append([]string{"etc/dpkg/dpkg.cfg.d/x", "etc/apt/apt.conf.d/x", "etc/apt/sources.list.d/x", "usr/sbin/x"}, gone...), kept...) {
		write(t, filepath.Join(root, f), f)
	}
	write(t, filepath.Join(root, "etc/machine-id"), "0123456789abcdef\n")
	const sources = "Types: deb\n"
	if err := slim(root, sources); err != nil {
		t.Fatal(err)
	}
	for _, f := range gone {
		if _, err := os.Lstat(filepath.Join(root, f)); err == nil {
			t.Errorf("%s is still there", f)
		}
	}
	for _, f := range kept {
		if _, err := os.Lstat(filepath.Join(root, f)); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(root, "etc/machine-id")); err != nil || len(b) > 0 {
		t.Errorf("every machine of this image would be %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(root, "etc/apt/sources.list.d/debian.sources")); err != nil || string(b) != sources {
		t.Errorf("the sources are %q, %v", b, err)
	}
	if fi, err := os.Stat(filepath.Join(root, "usr/sbin/policy-rc.d")); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("policy-rc.d: %v, %v", fi, err)
	}
	if fi, err := os.Stat(filepath.Join(root, "var/cache/apt/archives/partial")); err != nil || !fi.IsDir() {
		t.Errorf("apt has nowhere to download to: %v", err)
	}
}

func TestReleaseDate(t *testing.T) {
	root := t.TempDir()
	if _, err := releaseDate(root); err == nil {
		t.Error("an empty tree has a date")
	}
	write(t, filepath.Join(root, "etc/debian_version"), "12.15\n")
	old := time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC)
	if err := os.Chtimes(filepath.Join(root, "etc/debian_version"), old, old); err != nil {
		t.Fatal(err)
	}
	if got, err := releaseDate(root); err != nil || !got.Equal(old.Truncate(time.Second)) {
		t.Errorf("without lists: %s, %v", got, err)
	}
	write(t, filepath.Join(root, "var/lib/apt/lists/x_dists_bookworm_Release"), "Origin: Debian\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n")
	if got, err := releaseDate(root); err != nil || !got.Equal(release) {
		t.Errorf("with lists: %s, %v", got, err)
	}
}
