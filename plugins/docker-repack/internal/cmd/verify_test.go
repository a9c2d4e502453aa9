package cmd

import (
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
)

// What an image says is shown, never obeyed: names and targets may hold anything.
func TestComparisonTableQuotes(t *testing.T) {
	var b strings.Builder
	err := comparisonTable(&b, &repack.Comparison{Differences: []repack.Difference{
		{Path: "a\nb", What: "target", A: "plain é", B: "\x1b[31mred\n"},
		{Path: "(config)", What: "target", A: "\xff", B: "two words"},
		{What: "User", A: `"root"`},
	}})
	got := b.String()
	for _, want := range []string{
		"\t\"a\\nb\"\ttarget\tplain é\t\"\\x1b[31mred\\n\"\n",
		"\t\"(config)\"\ttarget\t\"\\xff\"\ttwo words\n",
		"\t(config)\tUser\t\"root\"\t\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if err != nil || strings.Contains(got, "\x1b") {
		t.Errorf("got %v, %q", err, got)
	}
}
