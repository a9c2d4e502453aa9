package assemble_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/assemble"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/fragment"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// put assembles a template with fragments given as "name order", each of which
// has the one line "RUN name".
func put(t *testing.T, template, base string, fragments ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t"), []byte(template), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := files.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	m := manifest.Manifest{Template: manifest.Text{Value: "t"}, Base: manifest.Text{Value: base}}
	var loaded []fragment.Fragment
	for _, f := range fragments {
		name, order, _ := strings.Cut(f, " ")
		use := manifest.Fragment{Name: manifest.Text{Value: name}, Version: manifest.Text{Value: "1"}}
		m.Fragments = append(m.Fragments, use)
		loaded = append(loaded, fragment.Fragment{
			Use: use, Metadata: fragment.Metadata{Name: name, Order: len(order)}, Dir: name,
			Lines: sourcemap.Lines(sourcemap.Fragment, name, name, []string{"RUN " + name}),
		})
	}
	var errs fault.List
	tpl, ok := assemble.LoadTemplate(tree, m, &errs)
	if !ok {
		return "", errs.Err()
	}
	tpl.CheckNames(m, &errs)
	lines, _, _ := tpl.Assemble(loaded, &errs)
	var out []string
	for _, l := range lines {
		if l.Kind != sourcemap.Generated {
			out = append(out, l.Text)
		}
	}
	return strings.Join(out, "\n"), errs.Err()
}

func TestAssemble(t *testing.T) {
	const rest = "#--MODULES--#\n#--ENDMODULE--#\n"
	for name, tt := range map[string]struct {
		template, base string
		fragments      []string
		want           string
	}{
		"own slots":      {"FROM x\n  #--MODULE:b--#\n# gone\n#--ENDMODULE--#\nRUN m\n#--MODULE:a--#\n\t#--ENDMODULE--#\n", "", []string{"a", "b"}, "FROM x\nRUN b\nRUN m\nRUN a"},
		"by order":       {"FROM x\n" + rest, "", []string{"b oo", "a ooo", "c o"}, "FROM x\nRUN c\nRUN b\nRUN a"},
		"both":           {"FROM x\n" + rest + "#--MODULE:a--#\n#--ENDMODULE--#\n", "", []string{"a", "b oo", "c o"}, "FROM x\nRUN c\nRUN b\nRUN a"},
		"base":           {"ARG BASE_IMAGE=old\nFROM ${BASE_IMAGE}\n", "new", nil, "ARG BASE_IMAGE=new\nFROM ${BASE_IMAGE}"},
		"base continued": {"ARG \\\n  BASE_IMAGE=old\nFROM ${BASE_IMAGE}\n", "new", nil, "ARG BASE_IMAGE=new\n#\nFROM ${BASE_IMAGE}"},
		"base as it is":  {"FROM debian\n", "debian", nil, "FROM debian"},
		"none":           {"FROM x\n" + rest, "", nil, "FROM x"},
	} {
		if got, err := put(t, tt.template, tt.base, tt.fragments...); got != tt.want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, tt.want)
		}
	}
}

func TestAssembleMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		template, base string
		fragments      []string
		want           string
	}{
		"not closed":       {"FROM x\n#--MODULE:a--#\n", "", []string{"a"}, "t:2: marker is not closed"},
		"nested":           {"FROM x\n#--MODULE:a--#\n#--MODULE:b--#\n#--ENDMODULE--#\n", "", nil, "t:3: marker opens before the one at line 2 is closed"},
		"repeated":         {"FROM x\n#--MODULE:a--#\n#--ENDMODULE--#\n#--MODULE:a--#\n#--ENDMODULE--#\n", "", []string{"a"}, "t:4: marker repeats the one at line 2"},
		"in a heredoc":     {"FROM x\nRUN <<E\n#--MODULE:a--#\nE\n", "", nil, "t:3: marker stands inside of an instruction"},
		"malformed":        {"FROM x\n#--MODULE a--#\n", "", nil, "t:2: malformed marker"},
		"tie":              {"FROM x\n#--MODULES--#\n#--ENDMODULE--#\n", "", []string{"a o", "b o"}, `fragments "a" and "b" both have order 1`},
		"shebang":          {"#!/bin/x\n# syntax=docker/dockerfile:1\nFROM a\n", "", nil, `t:1: template begins with "#!"`},
		"no FROM":          {"RUN x\n", "", nil, "t: template has no FROM"},
		"open end":         {"FROM x\nRUN a \\\n", "", nil, "t:2: template ends inside of an instruction"},
		"base without ARG": {"FROM x\n", "y", nil, `base image "y" has no effect on template t`},
		"base after FROM":  {"FROM x\nARG BASE_IMAGE\n", "y", nil, `base image "y" has no effect on template t`},
		"base in company":  {"ARG A BASE_IMAGE\nFROM x\n", "y", nil, "t:1: ARG BASE_IMAGE is declared together"},
		"unknown":          {"FROM x\nRUM y\n", "", nil, "t:2: unknown instruction: RUM"},
		"nothing":          {"# no\n", "", nil, "t: there is no instruction"},
	} {
		if _, err := put(t, tt.template, tt.base, tt.fragments...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}
