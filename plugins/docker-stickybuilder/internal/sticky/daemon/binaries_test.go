package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func TestFind(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for path, mode := range map[string]os.FileMode{
		filepath.Join(a, "buildkitd"): 0o644, // no program
		filepath.Join(b, "buildkitd"): 0o755,
		filepath.Join(b, "crun"):      0o755,
	} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(a, "crun"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := a + ":" + b
	if got, err := FindBuildkitd("", path); got != filepath.Join(b, "buildkitd") || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := FindBuildkitd(filepath.Join(b, "crun"), ""); got != filepath.Join(b, "crun") || err != nil {
		t.Errorf("asked: %s, %v", got, err)
	}
	if _, err := FindBuildkitd(filepath.Join(a, "buildkitd"), path); err == nil {
		t.Error("asked for a file that cannot be run")
	}
	if err := CheckRunc("crun", path); err != nil {
		t.Error(err)
	}
	if err := CheckRunc(filepath.Join(b, "crun"), ""); err != nil {
		t.Error(err)
	}
	err := CheckRunc("no-such-runtime", path)
	if err == nil || !strings.Contains(err.Error(), "no-such-runtime") || fault.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	// A relative directory in PATH is no place to run root's programs from.
	t.Chdir(b)
	if got := Find(".", "crun"); got != "" {
		t.Errorf("found %s", got)
	}
}

func TestBinary(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "",
		"[worker.oci]\nbinary = 'crun'\n":   "crun",
		"[worker.oci]\nbinary = 7\n":        "",
		"[worker":                           "",
		"worker = 1\n":                      "",
		"[worker.oci]\nsnapshotter = 'x'\n": "",
	} {
		if got := Binary([]byte(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
