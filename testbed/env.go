package testbed

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Env is what a program needs to know about a testbed that is up.
type Env struct {
	Registry        string // loopback registry, host:port, plain HTTP, deletes allowed
	ToolsDir        string // directory of the tools, for PATH
	CLIPlugins      string // directory with docker-buildx, for cliPluginsExtraDirs
	Docker          string // docker CLI; "" if there is none
	BuildkitdConfig string // buildkitd.toml that knows the registry, and the mirror where one is needed
	BaseImage       string // reference of a Debian base that can be pulled here
	DockerHost      string // DOCKER_HOST of the engine; "" if none runs
	OldDockerHost   string // DOCKER_HOST of the second, old engine; "" unless it was asked for
	Podman          string // podman command with a storage of its own; "" unless it was asked for
}

// Load reads what [Bed.Up] left, and checks that the registry answers.
func Load(ctx context.Context) (Env, error) {
	dirs, err := DefaultDirs(os.Getenv)
	if err != nil {
		return Env{}, err
	}
	return dirs.Env(ctx)
}

// Env reads the testbed's state below d.
func (d Dirs) Env(ctx context.Context) (Env, error) {
	s, err := readState(d.stateFile())
	if err != nil {
		return Env{}, err
	}
	if s.Registry == "" || !s.Processes["registry"].Alive() || answersAs(s.Registry)(ctx) != nil {
		return Env{}, fault.Hint(errors.New("reading the testbed's state: it is not up"), "run go run ./testbed/cmd/testbed up")
	}
	return d.env(s), nil
}

// env leaves out an engine of the testbed's own that has ended since.
func (d Dirs) env(s State) Env {
	if s.Engine == "unix://"+d.socket("docker") && !s.Processes["engine"].Alive() {
		s.Engine = ""
	}
	if !s.Processes["old-engine"].Alive() {
		s.OldEngine = ""
	}
	return Env{
		Registry: s.Registry, ToolsDir: s.Tools, CLIPlugins: s.Plugins, Docker: s.Docker,
		BuildkitdConfig: d.buildkitdConfigFile(), BaseImage: s.BaseImage,
		DockerHost: s.Engine, OldDockerHost: s.OldEngine, Podman: s.Podman,
	}
}

// Exports renders e as shell code. path is the PATH to extend; the directories
// of the administrator's programs are appended where they are missing.
func (e Env) Exports(path string) string {
	dirs := strings.Split(path, ":")
	out := []string{e.ToolsDir}
	for _, d := range append(dirs, "/usr/local/sbin", "/usr/sbin", "/sbin") {
		known := d == ""
		for _, have := range out {
			known = known || have == d
		}
		if !known {
			out = append(out, d)
		}
	}
	var s strings.Builder
	for _, v := range []struct{ name, value string }{
		{"PATH", strings.Join(out, ":")},
		{"DOCKERFACTORY_REGISTRY", e.Registry},
		{"DOCKERFACTORY_TOOLS", e.ToolsDir},
		{"DOCKERFACTORY_CLI_PLUGINS", e.CLIPlugins},
		{"DOCKERFACTORY_DOCKER", e.Docker},
		{"DOCKERFACTORY_BUILDKITD_CONFIG", e.BuildkitdConfig},
		{"DOCKERFACTORY_BASE_IMAGE", e.BaseImage},
		{"DOCKERFACTORY_DOCKER_HOST", e.DockerHost},
		{"DOCKERFACTORY_OLD_DOCKER_HOST", e.OldDockerHost},
		{"DOCKERFACTORY_PODMAN", e.Podman},
	} {
		s.WriteString("export " + v.name + "=" + shellQuote(v.value) + "\n")
	}
	return s.String()
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
