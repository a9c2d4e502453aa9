package pkgdb

import (
	"bytes"
	"path"
	"strings"
)

const (
	// dpkgInfo is where dpkg keeps, for each package, PACKAGE[:ARCH].list and others.
	dpkgInfo = "var/lib/dpkg/info/"
	// dpkgStatus is where distroless images keep PACKAGE and PACKAGE.md5sums.
	dpkgStatus = "var/lib/dpkg/status.d/"
)

// dpkgPackage returns the package that a file of dpkg's own database is about.
func dpkgPackage(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, dpkgInfo)
	if !ok || strings.Contains(rest, "/") {
		return "", false
	}
	pkg := strings.TrimSuffix(rest, path.Ext(rest))
	pkg, _, _ = strings.Cut(pkg, ":")
	return pkg, pkg != "" && pkg != "format"
}

// parseList returns the paths of a dpkg file list: one on each line, absolute, the
// root as "/.", directories like files.
func parseList(data []byte) []string {
	var out []string
	for line := range bytes.Lines(data) {
		if name, ok := relative(strings.TrimRight(string(line), "\n")); ok {
			out = append(out, name)
		}
	}
	return out
}

// parseSums returns the paths of a list of checksums, "SUM  PATH" on each line.
func parseSums(data []byte) []string {
	var out []string
	for line := range bytes.Lines(data) {
		_, file, _ := strings.Cut(strings.TrimRight(string(line), "\n"), "  ")
		if name, ok := relative(file); ok {
			out = append(out, name)
		}
	}
	return out
}

// relative makes an absolute path of a database a path of a tree.
func relative(name string) (string, bool) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	return name, name != ""
}
