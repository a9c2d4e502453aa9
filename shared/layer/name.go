package layer

import (
	"fmt"
	"path"
	"strings"
)

const (
	whiteoutPrefix = ".wh."
	// metaPrefix begins the names that AUFS kept for itself; of these only the
	// opaque marker has a meaning in OCI layers.
	metaPrefix   = ".wh..wh."
	opaqueMarker = ".wh..wh..opq"

	// auxiliaryDir is where AUFS kept the files behind hard links that its
	// branches had pulled apart. Layers of that time link to them.
	auxiliaryDir = ".wh..wh.plnk/"

	// Linux's own limits, without the terminating NUL: a longer name cannot be
	// created by any engine.
	maxName = 255
	maxPath = 4095
)

// A NameError tells that a layer has an entry whose name no engine may apply.
type NameError struct{ Name, Reason string }

func (e *NameError) Error() string {
	name := e.Name
	if len(name) > 200 {
		name = name[:200] + "…"
	}
	return fmt.Sprintf("entry name %q %s", name, e.Reason)
}

// cleanName turns the name of a tar entry into a path relative to the root, with
// neither leading nor trailing slash and no "." component; the root itself is ".".
func cleanName(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", &NameError{name, "has a NUL byte"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", &NameError{name, `has a ".." component`}
		}
		if len(part) > maxName {
			return "", &NameError{name, fmt.Sprintf("has a component longer than %d bytes", maxName)}
		}
	}
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if len(clean) > maxPath {
		return "", &NameError{name, fmt.Sprintf("is longer than %d bytes", maxPath)}
	}
	return clean, nil
}

type nameKind int

const (
	plainName     nameKind = iota
	whiteoutName           // hides the path that is returned
	opaqueName             // hides what lower layers have in the directory that is returned
	auxiliaryName          // a file that is not in the tree, for hard links to lead to
	ignoredName            // AUFS's own bookkeeping
)

// classify tells whether a clean name is a whiteout and which path it is about.
func classify(name string) (string, nameKind, error) {
	dir, base := path.Split(name)
	if dir == auxiliaryDir {
		return name, auxiliaryName, nil
	}
	if strings.HasPrefix(dir, metaPrefix) || strings.Contains(dir, "/"+metaPrefix) {
		return "", ignoredName, nil
	}
	if strings.HasPrefix(dir, whiteoutPrefix) || strings.Contains(dir, "/"+whiteoutPrefix) {
		return "", 0, &NameError{name, "is inside of a directory that has a whiteout's name"}
	}
	switch {
	case base == opaqueMarker:
		return path.Clean(dir), opaqueName, nil
	case strings.HasPrefix(base, metaPrefix):
		return "", ignoredName, nil
	case strings.HasPrefix(base, whiteoutPrefix):
		hidden := strings.TrimPrefix(base, whiteoutPrefix)
		if hidden == "" || hidden == "." || hidden == ".." {
			return "", 0, &NameError{name, "is a whiteout of no name"}
		}
		return dir + hidden, whiteoutName, nil
	}
	return name, plainName, nil
}

// parts splits a clean path; the root has none.
func parts(name string) []string {
	if name == "." || name == "" {
		return nil
	}
	return strings.Split(name, "/")
}
