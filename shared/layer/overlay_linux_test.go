package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestMergeAgainstOverlay holds the merged tree against what the kernel shows of
// the same layers, each unpacked on its own and stacked by an overlay mount.
func TestMergeAgainstOverlay(t *testing.T) {
	requireOverlay(t)
	stacks := 150
	if testing.Short() {
		stacks = 30
	}
	for seed := range uint64(stacks) {
		rng := rand.New(rand.NewPCG(seed, 3))
		layers := Random(t, rng, 1+rng.IntN(5), Shape{Capabilities: true})
		if diff := cmp.Diff(overlay(t, layers), Lines(merge(t, layers...))); diff != "" {
			t.Fatalf("seed %d (-overlay +merge):\n%s", seed, diff)
		}
	}
}

// requireOverlay ends the test where no overlay can be mounted: as a failure in an
// end-to-end run, which must not lose its oracle unseen.
func requireOverlay(t *testing.T) {
	t.Helper()
	err := errors.New("not root")
	if os.Getuid() == 0 {
		at := t.TempDir()
		if err = mountOverlay([]string{t.TempDir(), t.TempDir()}, at); err == nil {
			err = unix.Unmount(at, 0)
		}
		if err == nil {
			return
		}
	}
	if os.Getenv("DOCKERFACTORY_E2E") == "1" {
		t.Fatalf("overlay mounts are needed: %v", err)
	}
	t.Skipf("needs root and overlay mounts: %v", err)
}

func mountOverlay(lower []string, at string) error {
	return unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(lower, ":"))
}

func overlay(t *testing.T, layers [][]byte) []string {
	t.Helper()
	base, err := os.MkdirTemp("", "overlay")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	empty, at := filepath.Join(base, "empty"), filepath.Join(base, "merged")
	lower := []string{}
	for i, l := range layers {
		dir := filepath.Join(base, fmt.Sprint(i))
		if err := unpackForOverlay(l, dir); err != nil {
			t.Fatalf("unpacking layer %d: %v", i, err)
		}
		lower = append([]string{dir}, lower...)
	}
	for _, d := range []string{empty, at} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := mountOverlay(append(lower, empty), at); err != nil {
		t.Fatalf("mounting: %v", err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	lines, err := ReadDir(at)
	if err != nil {
		t.Fatalf("reading the mount: %v", err)
	}
	return lines
}

// unpackForOverlay makes the directory that an overlay takes for the layer: with
// 0:0 character devices for whiteouts and an attribute for opaque directories.
func unpackForOverlay(data []byte, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	var directories []*tar.Header
	var hidden, opaque []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		h.Name = path.Clean(h.Name)
		at := filepath.Join(dir, h.Name)
		switch base := path.Base(h.Name); {
		case base == ".wh..wh..opq":
			opaque = append(opaque, filepath.Dir(at))
			continue
		case strings.HasPrefix(base, ".wh."):
			hidden = append(hidden, filepath.Join(filepath.Dir(at), base[4:]))
			continue
		}
		switch h.Typeflag {
		case tar.TypeReg:
			body, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			if err := os.WriteFile(at, body, 0o600); err != nil {
				return err
			}
		case tar.TypeDir:
			if err := os.Mkdir(at, 0o700); err != nil {
				return err
			}
			directories = append(directories, h)
			continue
		case tar.TypeSymlink:
			if err := os.Symlink(h.Linkname, at); err != nil {
				return err
			}
		case tar.TypeLink:
			if err := os.Link(filepath.Join(dir, h.Linkname), at); err != nil {
				return err
			}
			continue
		case tar.TypeFifo:
			if err := unix.Mkfifo(at, 0o600); err != nil {
				return err
			}
		case tar.TypeChar:
			if err := unix.Mknod(at, unix.S_IFCHR|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))); err != nil {
				return err
			}
		}
		if err := setAttributes(at, h); err != nil {
			return err
		}
	}
	for _, p := range hidden {
		switch st, err := os.Lstat(p); {
		case err == nil && st.IsDir():
			opaque = append(opaque, p)
		case errors.Is(err, os.ErrNotExist):
			if err := unix.Mknod(p, unix.S_IFCHR, 0); err != nil {
				return err
			}
		}
	}
	for _, p := range opaque {
		if err := unix.Setxattr(p, "trusted.overlay.opaque", []byte("y"), 0); err != nil {
			return err
		}
	}
	for _, h := range slices.Backward(directories) {
		if err := setAttributes(filepath.Join(dir, h.Name), h); err != nil {
			return err
		}
	}
	return nil
}

func setAttributes(at string, h *tar.Header) error {
	if err := os.Lchown(at, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(at, uint32(h.Mode)); err != nil {
			return err
		}
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			if err := unix.Lsetxattr(at, name, []byte(v), 0); err != nil {
				return fmt.Errorf("setting %s: %w", name, err)
			}
		}
	}
	ts := unix.NsecToTimespec(h.ModTime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, at, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}
