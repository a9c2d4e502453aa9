package stitch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

var sample = map[string]string{
	"stitch.yaml": `version: 1
manifests:
  app:
    base: debian:bookworm-slim
    template: t.Dockerfile
    fragments:
      - {name: core, version: 1.10}
      - {name: tool, version: 012, params: {PORT: 8080}}
    platforms: [linux/amd64]
    tags: [app:1]
    output: out.Dockerfile
`,
	"t.Dockerfile":                            "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n#--MODULE:core--#\n#--ENDMODULE--#\n#--MODULES--#\n#--ENDMODULE--#\nCMD [\"x\"]\n",
	"fragments/core/1.10/fragment.yaml":       "name: core\nversion: 1.10\ndescription: Runtime\n",
	"fragments/core/1.10/Dockerfile.fragment": "RUN true\nCOPY --from=fragment etc /etc\nCOPY src /src\n",
	"fragments/core/1.10/etc/conf":            "conf\n",
	"fragments/tool/012/fragment.yaml":        "name: tool\nversion: 012\nparams:\n  PORT: {type: integer}\n",
	"fragments/tool/012/Dockerfile.fragment":  "ARG PORT\nEXPOSE ${PORT}\n",
	"src/main":                                "main\n",
}

func write(t *testing.T, dir string, content map[string]string) {
	t.Helper()
	for name, data := range content {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func render(t *testing.T, dir string) (*stitch.Rendered, error) {
	t.Helper()
	p, err := stitch.OpenNative(dir, "", "stitch.yaml")
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Render(t.Context(), "")
}

// Whatever byte of an input is changed, either the id changes or it is a mistake.
func TestEveryByteCounts(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, sample)
	base, err := render(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range sample {
		for i := range data {
			c := data[i]
			if filepath.Ext(name) == ".yaml" && strings.ContainsRune(" \n,{}[]", rune(c)) {
				continue // may be white space or quoting to YAML
			}
			changed := c ^ 1
			if changed == '#' || changed == '\'' || changed == '"' {
				changed = c ^ 2
			}
			write(t, dir, map[string]string{name: data[:i] + string(rune(changed)) + data[i+1:]})
			if r, err := render(t, dir); err == nil && r.ID == base.ID {
				t.Errorf("%s: byte %d changed from %q to %q, and the id did not", name, i, c, changed)
			}
		}
		write(t, dir, map[string]string{name: data})
	}
	if err := os.Chmod(filepath.Join(dir, "src/main"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r, err := render(t, dir); err != nil || r.ID == base.ID {
		t.Errorf("the mode of a copied file does not count: %v", err)
	}
}

func TestWhatDoesNotCount(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, sample)
	base, err := render(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]map[string]string{
		"comment":       {"stitch.yaml": "# a comment\n" + sample["stitch.yaml"] + "\n\n"},
		"quotes":        {"stitch.yaml": strings.ReplaceAll(sample["stitch.yaml"], "1.10", `"1.10"`)},
		"windows":       {"t.Dockerfile": "\xef\xbb\xbf" + strings.ReplaceAll(sample["t.Dockerfile"], "\n", "\r\n")},
		"final newline": {"t.Dockerfile": strings.TrimSuffix(sample["t.Dockerfile"], "\n")},
		"other file":    {"README": "nothing copies this"},
		"metadata":      {"fragments/core/1.10/fragment.yaml": "{version: 1.10, description: Runtime, name: core}"},
	} {
		write(t, dir, change)
		r, err := render(t, dir)
		if err != nil || r.ID != base.ID || string(r.Dockerfile) != string(base.Dockerfile) {
			t.Errorf("%s: counts: %v", name, err)
		}
		write(t, dir, sample)
	}
}

func TestRenderIsRepeatable(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, sample)
	first, err := render(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		again, err := render(t, dir)
		if err != nil || string(again.Dockerfile) != string(first.Dockerfile) {
			t.Fatalf("renders differ: %v", err)
		}
	}
}

// A mistake in any line of a fragment is reported at that very line.
func TestFaultsAreMapped(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, sample)
	const name = "fragments/tool/012/Dockerfile.fragment"
	for _, bad := range []string{"RUM true", "COPY", "COPY --nope a b", "COPY absent /", "FROM x", "EXPOSE not:a:port", "COPY --from=fragment ../a /", "ENV", "RUN --mount=type=nope true", "HEALTHCHECK maybe"} {
		for line := 3; line <= 12; line++ {
			text := sample[name] + strings.Repeat("RUN true\n", line-3) + bad + "\nRUN true\n"
			write(t, dir, map[string]string{name: text})
			_, err := render(t, dir)
			want := fault.Position{File: name, Line: line}
			if got := fault.PositionOf(err); got != want {
				t.Errorf("%q: got %v (%v), want %v", bad, got, err, want)
			}
		}
	}
}

func TestWarningsAreMapped(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, sample)
	const name = "fragments/tool/012/Dockerfile.fragment"
	write(t, dir, map[string]string{name: sample[name] + "ENV A=$NOWHERE\nmaintainer me\n"})
	r, err := render(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range r.Warnings {
		got = append(got, fmt.Sprintf("%s %s", w.At, w.Rule))
	}
	want := name + ":3 UndefinedVar, " + name + ":4 ConsistentInstructionCasing, " + name + ":4 MaintainerDeprecated"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s\nwant %s", strings.Join(got, ", "), want)
	}
}

func TestLabelsAreTheLastInstruction(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, sample)
	r, err := render(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	last := regexp.MustCompile(`\nLABEL dev\.dockerfactory\.manifest\.name="app" dev\.dockerfactory\.manifest\.id="` + r.ID + `"\n$`)
	if !last.Match(r.Dockerfile) || strings.Count(string(r.Dockerfile), r.ID) != 2 {
		t.Errorf("got\n%s", r.Dockerfile)
	}
}

func BenchmarkRender(b *testing.B) {
	dir := b.TempDir()
	for name, data := range sample {
		_ = os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		_ = os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644)
	}
	p, err := stitch.OpenNative(dir, "", "stitch.yaml")
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for b.Loop() {
		if _, err := p.Render(b.Context(), ""); err != nil {
			b.Fatal(err)
		}
	}
}
