package cmd

import "testing"

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"app": "app", "größe 1": "größe 1", "": "", `type "x"`: `type "x"`,
		"a\x1b[31mb": `"a\x1b[31mb"`, "a\nb\tc": `"a\nb\tc"`, "\u202egnp": `"\u202egnp"`, "\xff": `"\xff"`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %s, want %s", in, got, want)
		}
	}
}
