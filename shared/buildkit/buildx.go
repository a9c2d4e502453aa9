package buildkit

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli/command"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// systemPluginDirs are where the docker CLI looks after the user's own directory
// (getPluginDirs in docker/cli, Linux and macOS).
var systemPluginDirs = []string{
	"/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
	"/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins",
}

// BuildxCommand returns the program and first arguments that run buildx with the
// configuration and context of cli: the docker CLI that called the plugin, a
// docker on PATH, or buildx's own binary where there is no docker.
func BuildxCommand(cli command.Cli) (string, []string, error) {
	config := cli.ConfigFile()
	configDir := filepath.Dir(config.Filename)
	plugin := pluginBinary("docker-buildx", append(append([]string(nil), config.CLIPluginsExtraDirs...),
		append([]string{filepath.Join(configDir, "cli-plugins")}, systemPluginDirs...)...))

	docker := os.Getenv(metadata.ReexecEnvvar)
	if docker == "" {
		docker, _ = exec.LookPath("docker")
	}
	if docker != "" && plugin != "" {
		args := []string{"--config", configDir}
		if c := cli.CurrentContext(); c != command.DefaultContextName {
			args = append(args, "--context", c)
		}
		return docker, append(args, "buildx"), nil
	}
	if plugin == "" {
		plugin, _ = exec.LookPath("buildx")
	}
	if plugin == "" {
		return "", nil, fault.Hint(errors.New("docker buildx is not installed"),
			"install it, or use a builder that needs no buildx: docker stickybuilder up")
	}
	return plugin, nil, nil
}

func pluginBinary(name string, dirs []string) string {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}
