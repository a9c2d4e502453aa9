package pkgdb

import (
	"bytes"
	"encoding/csv"
	"path"
	"regexp"
	"strings"
)

// sitePackages finds the directory that a Python file was installed in, and what
// lies directly in it.
func sitePackages(name string) (site, top string, ok bool) {
	for _, dir := range []string{"site-packages/", "dist-packages/"} {
		if i := strings.Index("/"+name, "/"+dir); i >= 0 {
			site = name[:i+len(dir)-1]
			top, _, _ = strings.Cut(name[len(site)+1:], "/")
			return site, top, top != ""
		}
	}
	return "", "", false
}

// distribution returns the name of the Python package whose metadata a directory
// or file of site-packages is: "NAME-VERSION.dist-info" or ".egg-info".
func distribution(top string) (string, bool) {
	for _, suffix := range []string{".dist-info", ".egg-info"} {
		if base, ok := strings.CutSuffix(top, suffix); ok {
			name, _, _ := strings.Cut(base, "-")
			return strings.ToLower(name), name != ""
		}
	}
	return "", false
}

// parseRecord returns the paths of a RECORD file, which are relative to the
// directory that the distribution was installed in.
// https://packaging.python.org/en/latest/specifications/recording-installed-packages/
func parseRecord(data []byte, site string) []string {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	var out []string
	for {
		fields, err := r.Read()
		if err != nil {
			return out // the end, or what is no record: the rest has no owner
		}
		name := fields[0]
		if !path.IsAbs(name) {
			name = path.Join(site, name)
		}
		if name, ok := relative(name); ok && !strings.HasPrefix(name, "../") {
			out = append(out, name)
		}
	}
}

// nodePackage returns the outermost package directory below a node_modules that a
// file lies in.
func nodePackage(name string) (string, bool) {
	const dir = "node_modules/"
	i := strings.Index("/"+name, "/"+dir)
	if i < 0 {
		return "", false
	}
	end := i + len(dir)
	parts := strings.SplitN(name[end:], "/", 3)
	n := 1
	if strings.HasPrefix(parts[0], "@") {
		n = 2
	}
	if len(parts) <= n || parts[0] == "" {
		return "", false // a file right in node_modules
	}
	return name[:end] + strings.Join(parts[:n], "/"), true
}

var jarVersion = regexp.MustCompile(`[-_.]v?[0-9][-_.0-9A-Za-z]*$`)

// jar returns the path of a Java archive without its version.
func jar(name string) (string, bool) {
	for _, suffix := range []string{".jar", ".war", ".ear", ".jmod"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			return path.Join(path.Dir(base), jarVersion.ReplaceAllString(path.Base(base), "")), true
		}
	}
	return "", false
}
