package testbed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// socketRoom is how long a directory's path may be for the engines to keep
// their sockets in it: the kernel takes 107 bytes, and containerd's longest
// name below its own directory needs the rest.
const socketRoom = 60

// Dirs says where the testbed keeps its things.
type Dirs struct {
	Cache  string // tools, base images: survives Down
	State  string // state file, logs, registry storage, engine data
	Run    string // sockets, pid files, mounts: gone after Down
	Source string // the checkout, whose testbed/tools holds the tools' modules; "" if unknown
}

// DefaultDirs finds the cache by DOCKERFACTORY_CACHE or the XDG rules, and the
// checkout by walking up from the working directory.
func DefaultDirs(getenv func(string) string) (Dirs, error) {
	cache := getenv("DOCKERFACTORY_CACHE")
	if cache == "" {
		base := getenv("XDG_CACHE_HOME")
		if base == "" {
			home := getenv("HOME")
			if home == "" {
				return Dirs{}, errors.New("finding the cache directory: neither DOCKERFACTORY_CACHE, XDG_CACHE_HOME nor HOME is set")
			}
			base = filepath.Join(home, ".cache")
		}
		cache = filepath.Join(base, "dockerfactory")
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return Dirs{}, fmt.Errorf("finding the cache directory: %w", err)
	}
	d := Dirs{Cache: cache, State: filepath.Join(cache, "state")}
	d.Run = filepath.Join(d.State, "run")
	if len(d.Run) > socketRoom {
		sum := sha256.Sum256([]byte(cache))
		d.Run = fmt.Sprintf("/tmp/dockerfactory-%d-%s", os.Getuid(), hex.EncodeToString(sum[:4]))
	}
	wd, err := os.Getwd()
	if err != nil {
		return Dirs{}, fmt.Errorf("finding the checkout: %w", err)
	}
	d.Source = findCheckout(wd)
	return d, nil
}

var suiteModule = regexp.MustCompile(`(?m)^module github\.com/dockerfactory/dockerfactory\s*$`)

func findCheckout(dir string) string {
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && suiteModule.Match(b) {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

func (d Dirs) stateFile() string         { return filepath.Join(d.State, "state.json") }
func (d Dirs) log(name string) string    { return filepath.Join(d.State, "log", name+".log") }
func (d Dirs) socket(name string) string { return filepath.Join(d.Run, name+".sock") }

// make creates the directories. Run is refused if someone else owns it, since
// its fallback name below /tmp can be guessed.
func (d Dirs) make() error {
	for _, dir := range []string{d.Cache, d.State, filepath.Join(d.State, "log")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("creating the cache: %w", err)
		}
	}
	if err := os.MkdirAll(d.Run, 0o700); err != nil {
		return fmt.Errorf("creating the cache: %w", err)
	}
	return ownedByUs(d.Run)
}
