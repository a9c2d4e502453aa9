package testbed

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// The oldest versions of the user's own programs that the suite works with.
var (
	oldestBuildkitd = [2]int{0, 17}
	oldestBuildx    = [2]int{0, 17}
	oldestDocker    = [2]int{23, 0}
)

var versionNumber = regexp.MustCompile(`\bv?(\d+)\.(\d+)\.\d+`)

// newEnough finds the first version number in what a program prints and
// compares it.
func newEnough(text string, oldest [2]int) (version string, ok bool) {
	m := versionNumber.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return m[0], major > oldest[0] || major == oldest[0] && minor >= oldest[1]
}

// usable runs a program of the user's and returns its version if it is new enough.
func usable(ctx context.Context, oldest [2]int, argv ...string) (string, bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text, err := output(ctx, argv...)
	if err != nil {
		return "", false
	}
	return newEnough(text, oldest)
}

// userBuildkitd finds a buildkitd of the user's.
func userBuildkitd(ctx context.Context, ours string, getenv func(string) string) (path, version string) {
	p := lookUser("buildkitd", ours, getenv)
	if p == "" {
		return "", ""
	}
	v, ok := usable(ctx, oldestBuildkitd, p, "--version")
	if !ok {
		return "", ""
	}
	return p, v
}

// userBuildx finds the buildx plugin of the user's docker, in the order in
// which the docker CLI looks.
func userBuildx(ctx context.Context, ours string, getenv func(string) string) (path, version string) {
	config := getenv("DOCKER_CONFIG")
	if config == "" {
		config = filepath.Join(getenv("HOME"), ".docker")
	}
	for _, dir := range []string{
		filepath.Join(config, "cli-plugins"),
		"/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
		"/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins",
	} {
		p := filepath.Join(dir, "docker-buildx")
		if fi, err := os.Stat(p); err != nil || fi.IsDir() || within(p, ours) {
			continue
		}
		if v, ok := usable(ctx, oldestBuildx, p, "version"); ok {
			return p, v
		}
	}
	return "", ""
}

// userDocker finds the user's docker CLI.
func userDocker(ctx context.Context, ours string, getenv func(string) string) (path, version string) {
	p := lookUser("docker", ours, getenv)
	if p == "" {
		return "", ""
	}
	v, ok := usable(ctx, oldestDocker, p, "--version")
	if !ok {
		return "", ""
	}
	return p, v
}

// lookUser finds a program on PATH, past the testbed's own directories, which
// its exports put there and which may hold links to this very program.
func lookUser(name, ours string, getenv func(string) string) string {
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		if !filepath.IsAbs(dir) || within(dir, ours) {
			continue
		}
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil && !within(p, ours) {
			return p
		}
	}
	return ""
}

// within reports whether path, or what it is a link to, lies below dir.
func within(path, dir string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	if d, err := filepath.EvalSymlinks(dir); err == nil {
		dir = d
	}
	rel, err := filepath.Rel(dir, real)
	return err == nil && filepath.IsLocal(rel)
}
