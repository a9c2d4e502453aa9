package testbed

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// buildFlags are what every tool is built with. The suite's own binaries use
// the same, so that packages they share are compiled once.
var buildFlags = []string{"-mod=readonly", "-trimpath", "-buildvcs=false"}

// moduleKey names the build of a tools module: it changes with the module's
// requirements, its own sources, the compiler and the flags, and with nothing else.
func moduleKey(dir, goVersion string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, goVersion, buildFlags)
	files := []string{"go.mod", "go.sum"}
	own, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	slices.Sort(own)
	for _, f := range own {
		files = append(files, filepath.Base(f))
	}
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("reading a tools module: %w", err)
		}
		fmt.Fprintln(h, name, len(b))
		h.Write(b)
	}
	for _, t := range tools {
		if t.module == filepath.Base(dir) {
			fmt.Fprintf(h, "%q\n", []any{t.name, t.pkg, t.from, t.stamp, t.bare, t.gcflags})
		}
	}
	return filepath.Base(dir) + "-" + hex.EncodeToString(h.Sum(nil))[:12], nil
}

// requiredVersion returns the version of module that a go.mod requires.
func requiredVersion(gomod []byte, module string) (string, error) {
	re := regexp.MustCompile(`(?m)^(?:require)?\s*` + regexp.QuoteMeta(module) + `[ \t]+(v\S+)`)
	m := re.FindSubmatch(gomod)
	if m == nil {
		return "", fmt.Errorf("finding the version of %s: go.mod does not require it", module)
	}
	return strings.TrimSuffix(string(m[1]), "+incompatible"), nil
}

// ldflags strips the binary and stamps version into the tool's variables.
func (t tool) ldflags(version string) string {
	if t.bare {
		version = strings.TrimPrefix(version, "v")
	}
	flags := []string{"-s", "-w"}
	for _, v := range t.stamp {
		flags = append(flags, "-X", v+"="+version)
	}
	return strings.Join(flags, " ")
}
