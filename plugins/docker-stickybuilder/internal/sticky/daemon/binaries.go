package daemon

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// sbin directories are searched after PATH: sudo and cron often leave them out.
var sbin = []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin"}

// Find returns the first executable called by one of names in the directories of
// path, a PATH, "" if there is none.
func Find(path string, names ...string) string {
	for _, dir := range append(filepath.SplitList(path), sbin...) {
		for _, name := range names {
			if file := filepath.Join(dir, name); filepath.IsAbs(file) && executable(file) {
				return file
			}
		}
	}
	return ""
}

func executable(file string) bool {
	st, err := os.Stat(file)
	return err == nil && st.Mode().IsRegular() && unix.Access(file, unix.X_OK) == nil
}

// FindBuildkitd returns the daemon to run: asked, if not empty, or the one on
// path. The error's hint says how to get one.
func FindBuildkitd(asked, path string) (string, error) {
	if asked != "" {
		abs, err := filepath.Abs(asked)
		if err != nil {
			return "", err
		}
		if !executable(abs) {
			return "", fmt.Errorf("looking for buildkitd: %s is not an executable file", asked)
		}
		return abs, nil
	}
	if file := Find(path, "buildkitd"); file != "" {
		return file, nil
	}
	return "", fault.Hint(fmt.Errorf("looking for buildkitd: it is not on PATH"),
		"install one from https://github.com/moby/buildkit/releases, or name it with --buildkitd PATH")
}

// CheckRunc looks for the OCI runtime that buildkitd is going to look for. binary
// is the one that the configuration names, "" for none.
func CheckRunc(binary, path string) error {
	names := []string{"buildkit-runc", "runc"}
	if binary != "" {
		if filepath.IsAbs(binary) && executable(binary) {
			return nil
		}
		names = []string{binary}
	}
	if Find(path, names...) != "" {
		return nil
	}
	return fault.Hint(fmt.Errorf("looking for %s: it is not on PATH", names[len(names)-1]),
		"install it: apt-get install runc (or your distribution's runc package)")
}

// Binary returns the OCI runtime that a user's buildkitd.toml names, "" for none
// or for a file that cannot be parsed.
func Binary(user []byte) string {
	tree := table{}
	if err := toml.Unmarshal(user, &tree); err != nil {
		return ""
	}
	s, _ := tree.get("worker", "oci", "binary")
	name, _ := s.(string)
	return name
}
