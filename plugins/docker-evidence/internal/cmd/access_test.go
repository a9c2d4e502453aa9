package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := readFile(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("got %q, %v", data, err)
	}
	for _, path := range []string{path, "/dev/zero"} { // a device has no size
		if data, err := readFile(path, 4); err == nil || !strings.Contains(err.Error(), "larger than 4 bytes") {
			t.Errorf("%s: got %q, %v", path, data, err)
		}
	}
}
