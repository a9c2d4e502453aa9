package cmd

import (
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/command"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

// environment is the file that later steps get BUILDX_BUILDER from, nil for none.
func (o upOptions) environment() (*instance.EnvFile, error) {
	e := &instance.EnvFile{Path: os.Getenv("GITHUB_ENV")}
	switch {
	case o.envFile != "":
		path, err := filepath.Abs(o.envFile)
		if err != nil {
			return nil, err
		}
		e.Path, e.Named = path, path != e.Path
	case o.noUse || e.Path == "":
		return nil, nil
	}
	// A former job of that name may have left its own. What is no builder's name is not
	// written back: the file's readers would take more lines for more variables, and a
	// shell would run what is in it.
	previous := os.Getenv("BUILDX_BUILDER")
	if _, err := builderstore.ValidateName(previous); err == nil && previous != o.name {
		e.Previous = previous
	}
	return e, nil
}

// tellEnvironment says how builds find the builder.
func (o upOptions) tellEnvironment(dockerCLI command.Cli, up sticky.UpOptions, result *sticky.Upped) {
	other := os.Getenv("BUILDX_BUILDER")
	switch {
	case result.State == sticky.StateRunning || other == result.Name:
	case up.EnvFile != nil && up.EnvFile.Named:
		note(dockerCLI, "BUILDX_BUILDER=%s was written to %s: for docker build in this shell, . it and export BUILDX_BUILDER", result.Name, o.envFile)
	case up.EnvFile != nil:
		note(dockerCLI, "later steps of this job use the builder: BUILDX_BUILDER=%s was written to $GITHUB_ENV", result.Name)
	case o.noUse:
		note(dockerCLI, "use the builder by docker buildx build --builder %s, or export BUILDX_BUILDER=%s", result.Name, result.Name)
	case other != "":
		note(dockerCLI, "BUILDX_BUILDER=%s is set and comes before the current builder: export BUILDX_BUILDER=%s", other, result.Name)
	default:
		note(dockerCLI, "docker buildx and docker compose use the builder now; for plain docker build: export BUILDX_BUILDER=%s", result.Name)
	}
}
