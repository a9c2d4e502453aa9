package stitch_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// project is a manifest with one fragment, which has the given text.
func project(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"stitch.yaml":                       "version: 1\nmanifests:\n  app:\n    template: t\n    fragments: [{name: f, version: 1}]\n",
		"t":                                 "FROM debian AS first\n#--MODULE:f--#\n#--ENDMODULE--#\n",
		"fragments/f/1/fragment.yaml":       "name: f\nversion: 1\nstages: true\n",
		"fragments/f/1/Dockerfile.fragment": text,
		"fragments/f/1/own":                 "own\n",
		"data/target":                       "one\n",
		"sub/deep/file":                     "file\n",
	})
	for link, target := range map[string]string{"sub/link.txt": "../data/target", "via": "data"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What an instruction reaches by a pattern, a variable, a link, or in a later
// stage, counts as much as what it names.
func TestWhateverIsReachedCounts(t *testing.T) {
	target := func(dir string) error { return os.WriteFile(filepath.Join(dir, "data/target"), []byte("two\n"), 0o644) }
	parent := func(dir string) error { return os.Chmod(filepath.Join(dir, "sub/deep"), 0o700) }
	script := func(dir string) error {
		text := "#!/bin/sh\n# docker stitch: manifest app, id sha256:" + strings.Repeat("0", 64) + "\n"
		return os.WriteFile(filepath.Join(dir, "data/target"), []byte(text), 0o644)
	}
	for in, change := range map[string]func(string) error{
		"COPY sub/*.txt /x/":                                      target,
		"ARG N=link\nCOPY sub/$N.txt /x/":                         target,
		"ARG UP=../data\nCOPY sub/$UP /x/":                        target,
		"ENV A=. B=./data\nCOPY sub/$A$B /x/":                     target,
		`COPY sub/"../data" /x/`:                                  target,
		"COPY sub/*/../../data /x/":                               target,
		"COPY via/target /x/":                                     target,
		"COPY sub/link.txt /x/":                                   target,
		"COPY data /x/":                                           script,
		"COPY --parents sub/deep/file /x/":                        parent,
		"COPY --parents sub/deep/f* /x/":                          parent,
		"ONBUILD COPY data /x/\nFROM first":                       target,
		"ONBUILD RUN --mount=source=data,target=/m x\nFROM first": target,
	} {
		dir := project(t, in)
		before, err := render(t, dir)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		if after, err := render(t, dir); err != nil || after.ID == before.ID {
			t.Errorf("%s: the change does not count: %v", in, err)
		}
	}
}

func TestWhatIsNotReachedDoesNotCount(t *testing.T) {
	for _, in := range []string{
		"COPY sub /x/", // a link below is copied as a link
		"ARG N=1.0\nCOPY sub/deep/$N* /x/",
		"ONBUILD COPY data /x/", // there is no later stage
		"ONBUILD COPY nowhere /x/",
	} {
		dir := project(t, in)
		before, err := render(t, dir)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		write(t, dir, map[string]string{"data/target": "two\n"})
		if after, err := render(t, dir); err != nil || after.ID != before.ID {
			t.Errorf("%s: the change counts: %v", in, err)
		}
	}
}

// A rendered file cannot be in the image whose id it holds.
func TestRenderedFilesAreNoSources(t *testing.T) {
	dir := project(t, "RUN true")
	r, err := render(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{
		"data/target":                       string(r.Dockerfile),
		"fragments/f/1/Dockerfile.fragment": "COPY data/target /x\n",
	})
	const want = "Dockerfile.fragment:1: COPY takes data/target, which was rendered by docker stitch"
	if _, err := render(t, dir); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
