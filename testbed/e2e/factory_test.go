//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// writeFactory makes a project with one manifest, "app", whose one fragment has
// the given text, and returns its directory.
func writeFactory(t *testing.T, fragment string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"stitch.yaml": `version: 1
manifests:
  app:
    template: template.Dockerfile
    fragments:
      - {name: step, version: 1.0.0}
`,
		"template.Dockerfile": `FROM debian:bookworm-slim AS final
#--MODULE:step--#
#--ENDMODULE--#
CMD ["cat", "/result"]
`,
		"fragments/step/1.0.0/fragment.yaml":       "order: 10\ndescription: one step\n",
		"fragments/step/1.0.0/Dockerfile.fragment": fragment,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A fragment edited in place, for a second build.
func rewriteFragment(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "fragments/step/1.0.0/Dockerfile.fragment"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
