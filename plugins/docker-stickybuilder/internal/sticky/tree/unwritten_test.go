package tree

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnwritten(t *testing.T) {
	var st unix.Statfs_t
	if err := unix.Statfs(t.TempDir(), &st); err != nil || st.Type == unix.TMPFS_MAGIC {
		t.Skipf("the directory for temporary files has no disk: %v", err)
	}
	const size = 64 << 20
	var most int64
	for range 20 { // it may be written at any moment
		if err := os.WriteFile(filepath.Join(t.TempDir(), "f"), bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := Unwritten()
		if err != nil {
			t.Fatal(err)
		}
		if most = max(most, n); most >= size/2 {
			return
		}
	}
	t.Errorf("after %d MiB were written, at most %d are told", size>>20, most>>20)
}
