package tree

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNearest(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: dir, filepath.Join(dir, "a/b"): dir, filepath.Join(file, "x"): dir, "/none/such": "/"} {
		if got := Nearest(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}
