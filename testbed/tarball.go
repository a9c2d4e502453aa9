package testbed

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// writeTree writes the tree below root as a tar stream whose bytes depend on
// the tree's contents alone: sorted names, numeric owners, no time later than
// newest, no access times. Sockets are left out, as is everything below the
// directories that a container mounts over.
func writeTree(ctx context.Context, w io.Writer, root string, newest time.Time) error {
	tw := tar.NewWriter(w)
	seen := map[[2]uint64]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		switch top, _, below := strings.Cut(name, "/"); top {
		case "dev", "proc", "sys":
			if below {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		return writeEntry(tw, path, name, newest, seen)
	})
	if err != nil {
		return fmt.Errorf("packing %s: %w", root, err)
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("packing %s: %w", root, err)
	}
	return nil
}

func writeEntry(tw *tar.Writer, path, name string, newest time.Time, seen map[[2]uint64]string) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if fi.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	link := ""
	if fi.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(fi, link)
	if err != nil {
		return err
	}
	h.Name = name
	if fi.IsDir() {
		h.Name += "/"
	}
	h.Uname, h.Gname = "", ""
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
	h.ModTime = fi.ModTime().Truncate(time.Second)
	if h.ModTime.After(newest) {
		h.ModTime = newest
	}
	h.Format = tar.FormatPAX
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && fi.Mode().IsRegular() && st.Nlink > 1 {
		id := [2]uint64{st.Dev, st.Ino}
		if first, ok := seen[id]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			return tw.WriteHeader(h)
		}
		seen[id] = name
	}
	if caps, err := fileCaps(path); err != nil {
		return err
	} else if caps != "" {
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": caps}
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(tw, f)
	return err
}

func fileCaps(path string) (string, error) {
	buf := make([]byte, 256)
	n, err := unix.Lgetxattr(path, "security.capability", buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading file capabilities: %w", err)
	}
	return string(buf[:n]), nil
}
