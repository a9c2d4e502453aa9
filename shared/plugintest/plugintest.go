// Package plugintest runs a plugin's testscript files (testdata/*.txtar) with the
// plugin itself on PATH as docker-NAME and as a plugin of the docker CLI, a
// docker configuration of its own, and an in-process registry.
//
// Scripts find: $REGISTRY, host:port of an empty registry; $DOCKER_CONFIG, a
// configuration that lists the plugin; $HOME, a directory of the script's own.
// Beside testscript's commands there is "status N command…", which demands that
// exact exit status, and beside its conditions there is [root].
package plugintest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"
)

// Main runs the package's tests with main available to scripts as the command
// called name, such as "docker-stitch". Call it from TestMain.
func Main(m *testing.M, name string, main func()) {
	// By default the race detector sleeps for a second at the end of each program,
	// which would be most of what a script takes.
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=20") //nolint:errcheck // then it sleeps
	}
	testscript.Main(m, map[string]func(){name: main})
}

// Run runs the scripts in dir. name is as in [Main]; setup, which may be nil, can
// prepare each script's environment further.
func Run(t *testing.T, name, dir string, setup func(*testscript.Env) error) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": status},
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
			env.Defer(server.Close)
			env.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
			if err := configure(env, name); err != nil {
				return err
			}
			if setup != nil {
				return setup(env)
			}
			return nil
		},
	})
}

func configure(env *testscript.Env, name string) error {
	plugin, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	dir := filepath.Join(env.WorkDir, ".docker")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{"cliPluginsExtraDirs": []string{filepath.Dir(plugin)}})
	if err != nil {
		return err
	}
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("DOCKER_CONFIG", dir)
	env.Setenv("DOCKER_HOST", "unix://"+filepath.Join(env.WorkDir, "no-engine.sock"))
	env.Setenv("NO_COLOR", "1")
	return os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600)
}

// condition knows [root], beside testscript's own conditions.
func condition(name string) (bool, error) {
	if name == "root" {
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// status runs a command and fails the script unless it exits with the status
// given first; stdout and stderr can then be matched as after exec.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("running %s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s exited with status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}
