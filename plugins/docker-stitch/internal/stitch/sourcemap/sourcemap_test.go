package sourcemap_test

import (
	"slices"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
)

func lines() []sourcemap.Line {
	generated := sourcemap.Line{Text: "# header", Kind: sourcemap.Generated}
	template := sourcemap.Lines(sourcemap.Template, "t", "", []string{"a", "b", "c"})
	fragment := sourcemap.Lines(sourcemap.Fragment, "f", "core", []string{"x", "y"})
	return slices.Concat([]sourcemap.Line{generated}, template[:1], []sourcemap.Line{generated}, fragment, template[2:], []sourcemap.Line{generated})
}

func TestPosition(t *testing.T) {
	display := func(s string) string { return "dir/" + s }
	for n, want := range map[int]string{
		0: "", 1: "dir/t:1", 2: "dir/t:1", 3: "dir/t:1", 4: "dir/f:1", 5: "dir/f:2", 6: "dir/t:3", 7: "dir/t:3", 8: "",
	} {
		if got := sourcemap.Position(lines(), n, display).String(); got != want {
			t.Errorf("line %d: got %q, want %q", n, got, want)
		}
	}
}

func TestRunsCoverEachLineOnce(t *testing.T) {
	m := sourcemap.New("app", "sha256:0", lines())
	next := 1
	for _, r := range m.Runs {
		if r.Rendered != next {
			t.Errorf("run %+v does not follow line %d", r, next-1)
		}
		for i := range r.Count {
			l := lines()[next+i-1]
			if l.File != r.File || l.Kind != r.Kind || (l.File != "" && l.Line != r.Line+i) {
				t.Errorf("line %d is %+v, not of %+v", next+i, l, r)
			}
		}
		next += r.Count
	}
	if next != len(lines())+1 || len(m.Runs) != 6 {
		t.Errorf("%d runs up to line %d", len(m.Runs), next-1)
	}
}
