// Package cmd is the command tree of docker repack: flags in, results out.
package cmd

import (
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// New returns the plugin's root command. The main job has no verb of its own, so
// that the tool's one-line use stays one line; everything else is a subcommand.
func New(dockerCLI command.Cli) *cobra.Command {
	cmd := newRepackCmd(dockerCLI)
	cmd.AddCommand(newVerifyCmd(dockerCLI))
	return cmd
}
