package plugintest

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"strings"
	"testing"
)

// Unwanted are packages that no plugin may depend on, and why.
var Unwanted = map[string]string{
	"github.com/docker/buildx/builder": "it brings every driver with it; builders are reached by shared/buildkit",
	"github.com/docker/buildx/driver":  "it brings Kubernetes with it",
	"github.com/open-policy-agent":     "nobody here evaluates Rego",
	"k8s.io":                           "a plugin that starts in milliseconds does not link it",
}

// Imports fails the test if a package that matches pattern (as go list
// understands it) depends on a package whose path begins with a key of [Unwanted]
// or of denied, directly or not; the value says why that is not wanted.
func Imports(t *testing.T, pattern string, denied map[string]string) {
	t.Helper()
	denied = maps.Clone(denied)
	if denied == nil {
		denied = map[string]string{}
	}
	maps.Copy(denied, Unwanted)
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports", pattern).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pattern, err)
	}
	importers := map[string]string{}
	var paths []string
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p.ImportPath)
		for _, i := range p.Imports {
			importers[i] = p.ImportPath
		}
	}
	for _, path := range paths {
		for prefix, why := range denied {
			if path == prefix || strings.HasPrefix(path, prefix+"/") {
				t.Errorf("%s depends on %s (through %s): %s", pattern, path, importers[path], why)
			}
		}
	}
}
