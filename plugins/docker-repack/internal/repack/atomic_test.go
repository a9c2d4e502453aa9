package repack

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// A process that is killed runs no clean-up: while a file is written there must be
// nothing to clean up.
func TestFilesHaveNoNameUntilTheyAreWhole(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has files without names")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	for _, text := range []string{"one", "two"} {
		before := names(t, dir)
		if err := writeAtomically(name, func(f *os.File) error {
			_, err := f.WriteString(text)
			if during := names(t, dir); !slices.Equal(during, before) {
				t.Errorf("before writing there was %q, while writing %q", before, during)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != text || !slices.Equal(names(t, dir), []string{"f"}) {
			t.Errorf("got %q, %v, in %q", got, err, names(t, dir))
		}
	}
	why := errors.New("full")
	if err := writeAtomically(name, func(*os.File) error { return why }); !errors.Is(err, why) || !slices.Equal(names(t, dir), []string{"f"}) {
		t.Errorf("got %v, in %q", err, names(t, dir))
	}
}

// Where there are no such files, temporary names go when the work is done, or fails.
func TestFilesWithTemporaryNames(t *testing.T) {
	dir := t.TempDir()
	for _, done := range []bool{true, false} {
		f, err := newTemporary(dir)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			err = f.publish(filepath.Join(dir, "f"))
		}
		f.discard()
		if err != nil || !slices.Equal(names(t, dir), []string{"f"}) {
			t.Errorf("done %v: %v, in %q", done, err, names(t, dir))
		}
	}
}

// Before the source is read it is known whether the destination can be written.
func TestUnwritableDestinations(t *testing.T) {
	readOnly := "/proc" // for root, too
	for _, to := range []string{"oci://" + readOnly + "/new/layout", "oci-archive://" + readOnly + "/f.tar", "docker-archive://" + readOnly + "/f.tar"} {
		ref, err := image.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDestination(t.Context(), ref, image.Options{TempDir: t.TempDir()}); err == nil || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", to, err)
		}
	}
}
