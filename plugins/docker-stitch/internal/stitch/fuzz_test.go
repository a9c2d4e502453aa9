package stitch_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch"
)

// Whatever stands in a template and a fragment: what is rendered parses, and ends
// in the labels as an instruction of their own.
func FuzzRender(f *testing.F) {
	for _, s := range [][2]string{
		{sample["t.Dockerfile"], sample["fragments/core/1.10/Dockerfile.fragment"]},
		{"FROM x\n#--MODULES--#\n#--ENDMODULE--#\nRUN true \\", "RUN <<A <<B\nA\nB"},
		{"# syntax=x\n# escape=`\nFROM x\n#--MODULES--#\n#--ENDMODULE--#", "ARG A=1 B=2\nRUN a `\n b"},
		{"FROM x\n#--MODULE:core--#\n\n#--ENDMODULE--#\n", "ONBUILD COPY a b\nRUN --mount=type=bind,from=fragment,src=x true"},
		{"FROM x\nRUN <<EOF\n#--MODULES--#\n#--ENDMODULE--#\nEOF\n", "COPY --from=fragment [\"a\", \"b\"]"},
	} {
		f.Add(s[0], s[1])
	}
	dir := f.TempDir()
	for name, data := range map[string]string{
		"stitch.yaml":                    "version: 1\nmanifests:\n  app:\n    template: t\n    fragments: [{name: core, version: 1}]\n",
		"fragments/core/1/fragment.yaml": "name: core\nversion: 1\n",
		"fragments/core/1/etc/conf":      "conf",
	} {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(data), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, template, fragment string) {
		write(t, dir, map[string]string{"t": template, "fragments/core/1/Dockerfile.fragment": fragment})
		p, err := stitch.OpenNative(dir, "", "stitch.yaml")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		r, err := p.Render(t.Context(), "app")
		if err != nil {
			return
		}
		parsed, err := parser.Parse(bytes.NewReader(r.Dockerfile))
		if err != nil {
			t.Fatalf("%v in\n%s", err, r.Dockerfile)
		}
		last := parsed.AST.Children[len(parsed.AST.Children)-1]
		if !strings.HasPrefix(last.Original, "LABEL dev.dockerfactory.manifest.name=") || !strings.Contains(last.Original, r.ID) {
			t.Errorf("the last instruction is %q in\n%s", last.Original, r.Dockerfile)
		}
		if n := len(r.Lines); n != bytes.Count(r.Dockerfile, []byte("\n")) {
			t.Errorf("%d lines in the map, %d in the file", n, bytes.Count(r.Dockerfile, []byte("\n")))
		}
	})
}
