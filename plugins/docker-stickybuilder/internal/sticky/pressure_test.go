package sticky

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

func TestScarcity(t *testing.T) {
	for name, c := range map[string]struct {
		space tree.Space
		want  string
	}{
		"enough":                {tree.Space{Bytes: 20, Size: 100, Inodes: 20, Files: 100}, ""},
		"few bytes":             {tree.Space{Bytes: 19, Size: 100, Inodes: 20, Files: 100}, "19 % of the space"},
		"few inodes":            {tree.Space{Bytes: 20, Size: 100, Inodes: 3, Files: 100}, "3 % of the inodes"},
		"inodes as they come":   {tree.Space{Bytes: 20, Size: 100, Inodes: -1}, ""},
		"nothing known of size": {tree.Space{}, ""},
	} {
		if got := scarcity(c.space, lowFree); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A pool on a small filesystem is warned about, and then gives up what is not the
// head, but no more than it has to.
func TestRelieve(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("sticky-test", dir, "tmpfs", 0, "size=100m"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	spec := "dir:" + filepath.Join(dir, "pool")
	plainPool(t, spec)
	h, _ := newHost(t)
	d, err := h.openDisk(spec, 9, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// Each generation has a file of its own in the place of its parent's.
	for i := range 3 {
		id, err := h.newID()
		if err != nil {
			t.Fatal(err)
		}
		w, lock, err := d.Clone(t.Context(), simulated, simulated, id, progress.Discard.Step(""))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.Root, "f"), bytes.Repeat([]byte{byte(i)}, 28<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
			t.Fatal(err)
		}
		lock.Close()
	}
	left := func() int {
		t.Helper()
		records, err := d.(Shelf).Records(t.Context(), simulated)
		if err != nil {
			t.Fatal(err)
		}
		return len(records)
	}
	if notes := relieve(t.Context(), d, dir, ""); len(notes) != 1 || !strings.Contains(notes[0], "runs out of space") || left() != 3 {
		t.Errorf("%q, %d left", notes, left())
	}
	if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 13<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	notes := relieve(t.Context(), d, dir)
	if len(notes) != 1 || !strings.Contains(notes[0], "1 generations beside the heads were removed") || left() != 2 {
		t.Errorf("%q, %d left", notes, left())
	}
}
