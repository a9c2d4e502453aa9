package repack

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What is written may be read by whom the user lets read it.
func TestFilesHeedTheUmask(t *testing.T) {
	dir := t.TempDir()
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	if err := writeAtomically(filepath.Join(dir, "unnamed"), func(*os.File) error { return nil }); err != nil {
		t.Fatal(err)
	}
	f, err := newTemporary(dir)
	if err == nil {
		err = f.publish(filepath.Join(dir, "temporary"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, dir) {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
