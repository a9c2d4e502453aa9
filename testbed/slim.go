package testbed

import (
	"fmt"
	"io/fs"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leftOut is what an image can do without: what apt fetches again, what only a
// person reads, and what debootstrap copied from this machine.
var leftOut = []string{
	"var/lib/apt/lists/*", "var/cache/apt/*", "var/cache/debconf/*-old", "var/lib/dpkg/*-old",
	"var/cache/ldconfig/aux-cache", "var/log/*", "run/*", "tmp/*",
	"usr/share/man/*", "usr/share/info/*", "usr/share/groff/*", "usr/share/lintian/*", "usr/share/linda/*", "usr/share/locale/*",
	"etc/hostname", "etc/resolv.conf", "etc/machine-id", "var/lib/dbus/machine-id",
}

// imageFiles make apt and dpkg inside of the image keep it small.
var imageFiles = map[string]string{
	"etc/dpkg/dpkg.cfg.d/slim": `path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/groff/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
`,
	"etc/dpkg/dpkg.cfg.d/speed": "force-unsafe-io\n",
	"etc/apt/apt.conf.d/clean": `DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
APT::AutoRemove::SuggestsImportant "false";
`,
	// Nothing may start a service while an image is built.
	"usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
	"etc/machine-id":       "",
}

// slim turns the tree that debootstrap made into that of a slim image.
func slim(root, sources string) error {
	for _, pattern := range leftOut {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, p := range paths {
			if err := os.RemoveAll(p); err != nil {
				return fmt.Errorf("slimming the base image: %w", err)
			}
		}
	}
	err := filepath.WalkDir(filepath.Join(root, "usr/share/doc"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "copyright" {
			return err
		}
		return os.Remove(p)
	})
	if err != nil {
		return fmt.Errorf("slimming the base image: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "var/cache/apt/archives/partial"), 0o755); err != nil {
		return fmt.Errorf("slimming the base image: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(root, "etc/apt/sources.list")); err != nil {
		return fmt.Errorf("slimming the base image: %w", err)
	}
	files := map[string]string{"etc/apt/sources.list.d/debian.sources": sources}
	for name, text := range imageFiles {
		files[name] = text
	}
	for name, text := range files {
		perm := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			perm = 0o755
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), perm); err != nil {
			return fmt.Errorf("slimming the base image: %w", err)
		}
		if err := os.Chmod(filepath.Join(root, name), perm); err != nil {
			return fmt.Errorf("slimming the base image: %w", err)
		}
	}
	return nil
}

// releaseDate is when the archive last changed, by the package lists that
// debootstrap left, so that the same archive gives the same image. It has to be
// asked before the tree is slimmed.
func releaseDate(root string) (time.Time, error) {
	lists, err := filepath.Glob(filepath.Join(root, "var/lib/apt/lists/*Release"))
	if err != nil {
		return time.Time{}, err
	}
	for _, l := range lists {
		b, err := os.ReadFile(l)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(line, "Date:"); ok {
				if t, err := parseReleaseDate(strings.TrimSpace(value)); err == nil {
					return t, nil
				}
			}
		}
	}
	fi, err := os.Stat(filepath.Join(root, "etc/debian_version"))
	if err != nil {
		return time.Time{}, fmt.Errorf("finding the date of the Debian release: %w", err)
	}
	return fi.ModTime().UTC().Truncate(time.Second), nil
}

func parseReleaseDate(s string) (time.Time, error) {
	t, err := mail.ParseDate(strings.Replace(s, "UTC", "+0000", 1))
	return t.UTC(), err
}
