//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bed is what the testbed made and TestMain installed.
var bed struct {
	registry   string // host:port
	tools      string // directory of the pinned tools
	buildkitd  string // buildkitd.toml with the docker.io mirror
	dockerHost string
	config     string // DOCKER_CONFIG with the plugins in it
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	bed.registry = need("DOCKERFACTORY_REGISTRY")
	bed.tools = need("DOCKERFACTORY_TOOLS")
	bed.buildkitd = need("DOCKERFACTORY_BUILDKITD_CONFIG")
	bed.dockerHost = need("DOCKERFACTORY_DOCKER_HOST")

	dir, err := os.MkdirTemp("", "dockerfactory-e2e-")
	check(err)
	defer os.RemoveAll(dir)
	bed.config = filepath.Join(dir, "docker")
	check(os.MkdirAll(bed.config, 0o700))
	config, err := json.Marshal(map[string]any{"cliPluginsExtraDirs": []string{need("DOCKERFACTORY_CLI_PLUGINS")}})
	check(err)
	check(os.WriteFile(filepath.Join(bed.config, "config.json"), config, 0o600))

	install := exec.Command("../../install.sh")
	install.Env = append(os.Environ(), "DOCKER_CONFIG="+bed.config)
	install.Stdout, install.Stderr = os.Stderr, os.Stderr
	check(install.Run())
	return m.Run()
}

func need(name string) string {
	v := os.Getenv(name)
	if v == "" {
		fmt.Fprintf(os.Stderr, "%s is not set: run make test, which prepares the testbed\n", name)
		os.Exit(1)
	}
	return v
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// environment is the environment of every command that the scenarios run.
func environment() []string {
	return append(os.Environ(),
		"DOCKER_CONFIG="+bed.config, "DOCKER_HOST="+bed.dockerHost,
		"BUILDX_BUILDER=", "BUILDX_CONFIG=", "BUILDKIT_PROGRESS=plain", "NO_COLOR=1",
		"PATH="+bed.tools+":"+os.Getenv("PATH"))
}

// command prepares a command with the scenarios' environment, in dir.
func command(ctx context.Context, dir string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, environment()
	return cmd
}

// deadline bounds one command: long enough for a cold build on a small machine.
const deadline = 8 * time.Minute

// result is what a command left behind.
type result struct {
	stdout, stderr string
	status         int
}

// try runs argv in dir and returns what came of it, whatever the exit status.
func try(t *testing.T, dir string, argv ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), deadline)
	defer cancel()
	cmd := command(ctx, dir, argv...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := result{stdout.String(), stderr.String(), 0}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.status = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("running %s: %v", strings.Join(argv, " "), err)
	}
	return r
}

// must runs argv and returns its stdout; any exit status but 0 ends the test.
func must(t *testing.T, dir string, argv ...string) string {
	t.Helper()
	r := try(t, dir, argv...)
	if r.status != 0 {
		t.Fatalf("%s exited with status %d\n%s\n%s", strings.Join(argv, " "), r.status, r.stdout, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// mustJSON runs argv with --format json and decodes its stdout into v.
func mustJSON(t *testing.T, v any, dir string, argv ...string) {
	t.Helper()
	out := must(t, dir, append(argv, "--format", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		t.Fatalf("%s: %v in\n%s", strings.Join(argv, " "), err, out)
	}
}

// fails runs argv, demands the exit status, and returns stderr.
func fails(t *testing.T, status int, dir string, argv ...string) string {
	t.Helper()
	r := try(t, dir, argv...)
	if r.status != status {
		t.Fatalf("%s exited with status %d, want %d\n%s\n%s", strings.Join(argv, " "), r.status, status, r.stdout, r.stderr)
	}
	return r.stderr
}

// contains fails the test unless text has each of the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("output lacks %q:\n%s", p, text)
		}
	}
}

// repository is a repository of the test's own in the loopback registry.
func repository(t *testing.T) string {
	return fmt.Sprintf("%s/e2e/%s-%d", bed.registry, strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")), time.Now().UnixNano())
}
