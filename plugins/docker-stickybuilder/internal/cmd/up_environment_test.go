package cmd

import (
	"os"
	"path/filepath"
	"testing"
)

// What stands in BUILDX_BUILDER is written back by down, to files of which each line is a
// variable and that shells run: only what can be a builder's name.
func TestPreviousBuilderIsAName(t *testing.T) {
	t.Setenv("GITHUB_ENV", filepath.Join(t.TempDir(), "env"))
	for value, want := range map[string]string{
		"mine":                    "mine",
		"":                        "",
		"sticky":                  "",
		"x\nLD_PRELOAD=/tmp/evil": "",
		"$(touch /tmp/x)":         "",
		"a b":                     "",
	} {
		t.Setenv("BUILDX_BUILDER", value)
		e, err := upOptions{name: "sticky"}.environment()
		if err != nil || e.Previous != want {
			t.Errorf("%q: %+v, %v", value, e, err)
		}
	}
}

func TestAppendToAnUnfinishedLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "output")
	if err := os.WriteFile(path, []byte("a=b"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := appendTo(path, "mode=sticky\n"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "a=b\nmode=sticky\nmode=sticky\n" {
		t.Errorf("%q, %v", got, err)
	}
}
