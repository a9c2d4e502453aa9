package pkgdb

import (
	"bytes"
	"path"
)

// apkInstalled is apk's database: paragraphs of "K:value" lines.
const apkInstalled = "lib/apk/db/installed"

// parseInstalled calls add with the name and paths of each package: "P:" names it,
// "F:" a directory, "R:" a file in the last directory.
func parseInstalled(data []byte, add func(pkg string, paths []string)) {
	var pkg, dir string
	var paths []string
	flush := func() {
		if pkg != "" {
			add(pkg, paths)
		}
		pkg, dir, paths = "", "", nil
	}
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, "\n")
		if len(line) == 0 {
			flush()
			continue
		}
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		switch string(key) {
		case "P":
			pkg = string(value)
		case "F":
			dir = string(value)
			if name, ok := relative(dir); ok {
				paths = append(paths, name)
			}
		case "R":
			if name, ok := relative(path.Join(dir, string(value))); ok {
				paths = append(paths, name)
			}
		}
	}
	flush()
}
