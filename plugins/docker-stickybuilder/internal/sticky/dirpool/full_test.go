package dirpool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A job has taken all space, for contents and for names. Its copy can be discarded,
// and the next job begins at once.
func TestDiscardOnAFullFilesystem(t *testing.T) {
	for _, mkfs := range []string{"mkfs.btrfs", "mkfs.xfs", "mkfs.ext4"} {
		t.Run(mkfs, func(t *testing.T) {
			p := open(t, filepath.Join(mount(t, mkfs, 320<<20), "pool"), 3)
			l := disk.Lineage{Key: "k", Platform: "p"}
			step := progress.Discard.Step("")
			w, lock, err := p.Clone(t.Context(), l, l, newID("a"), step)
			if err != nil {
				t.Fatal(err)
			}
			for size := 16 << 20; size >= 1; size /= 16 {
				fillBy(t, w.Root, size)
			}
			if err := p.Discard(t.Context(), w); err != nil {
				t.Error(err)
			}
			lock.Close()
			if _, err := os.Stat(filepath.Dir(w.Root)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the copy is there: %v", err)
			}
			_, lock, err = p.Clone(t.Context(), l, l, newID("b"), step)
			if err != nil {
				t.Fatal(err)
			}
			lock.Close()
		})
	}
}

// fillBy makes files of the given size until there is no space for another.
func fillBy(t *testing.T, dir string, size int) {
	t.Helper()
	const most = 20_000
	for n := range most {
		err := os.WriteFile(filepath.Join(dir, fmt.Sprint(size, "-", n)), make([]byte, size), 0o600)
		if errors.Is(err, unix.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
