// Package cmd is the command tree of docker stickybuilder: flags, environment and
// printing. What the commands do is in package sticky.
package cmd

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/dockerauth"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// New makes the root command.
func New(dockerCLI command.Cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "stickybuilder",
		Short: "Run builds on a BuildKit whose disk outlives the job",
		Long: `Run one buildkitd for the whole job, on a private clone of a disk that outlives
the job. docker buildx, bake and compose use it with no change. At the end the
clone becomes the disk's next generation, but only if the builds deserve it:
BuildKit's own history says what was built and how it ended.`,
		Example: `  docker stickybuilder up
  docker buildx build --tag app .
  docker stickybuilder down`,
	}
	root.AddCommand(newUpCmd(dockerCLI), newDownCmd(dockerCLI), newCommitCmd(dockerCLI), newStatusCmd(dockerCLI), newReportCmd(dockerCLI), newRecoverCmd(dockerCLI), newDoctorCmd(dockerCLI), newDiskCmd(dockerCLI), newSuperviseCmd(dockerCLI))
	return root
}

const defaultName = "sticky"

// nameArg returns the builder's name of a command that takes [NAME].
func nameArg(args []string) (string, error) {
	name := defaultName
	if len(args) > 0 {
		name = args[0]
	}
	name, err := builderstore.ValidateName(name)
	return name, cliplugin.Usage(err)
}

// stateDir is where builders are known: $XDG_STATE_HOME/docker-stickybuilder.
func stateDir() (instance.State, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) { // as the XDG base directory specification has it
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.Hint(fmt.Errorf("looking for the state directory: %w", err), "set HOME or XDG_STATE_HOME")
		}
		base = filepath.Join(home, ".local", "state")
	}
	return instance.State(filepath.Join(base, "docker-stickybuilder")), nil
}

func host() (sticky.Host, error) {
	state, err := stateDir()
	if err != nil {
		return sticky.Host{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return sticky.Host{}, fmt.Errorf("looking for the plugin itself: %w", err)
	}
	return sticky.Host{
		State:   state,
		Now:     time.Now,
		Entropy: rand.Reader,
		Path:    os.Getenv("PATH"),
		IsRoot:  os.Geteuid() == 0, Overlay: daemon.CheckOverlay,
		// The supervisor is not told of --config.
		Environ:   append(os.Environ(), "DOCKER_CONFIG="+config.Dir()),
		Reach:     reach,
		Keychain:  credentials{},
		UserAgent: "docker-stickybuilder/" + cliplugin.Version(),
		Supervisor: func(name string) []string {
			return []string{self, superviseVerb, "--state", string(state), name}
		},
	}, nil
}

// credentials are those of the user's docker configuration, read when a registry asks.
type credentials struct{}

func (credentials) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return dockerauth.Keychain(config.LoadDefaultConfigFile(io.Discard)).Resolve(r)
}

// completeNames completes the names of builders that are up.
func completeNames(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	state, err := stateDir()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := state.Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// note tells the user something that is no data.
func note(dockerCLI command.Cli, format string, args ...any) {
	fmt.Fprintln(dockerCLI.Err(), "note:", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

var maxOneName = cli.RequiresMaxArgs(1)
