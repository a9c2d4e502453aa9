// Package cmd is the command tree of docker repack: flags in, results out.
package cmd

import (
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// New returns the plugin's root command. The main job has no verb of its own, so
// that the tool's one-line use stays one line; everything else is a subcommand.
func New(dockerCLI command.Cli) *cobra.Command {
	cmd := newRepackCmd(dockerCLI)
	cmd.AddCommand(newPlanCmd(dockerCLI), newPullTimeCmd(dockerCLI), newVerifyCmd(dockerCLI))
	showBothUses(cmd)
	return cmd
}

// showBothUses makes the help of a command that runs and has subcommands show
// both. The docker CLI's template, which is known only once the command hangs in
// its tree, shows "COMMAND" alone.
func showBothUses(root *cobra.Command) {
	root.SetUsageFunc(func(c *cobra.Command) error {
		root.SetUsageFunc(nil)
		root.SetUsageTemplate(strings.NewReplacer(
			"{{- if not .HasSubCommands}}", "{{- if or .Runnable (not .HasSubCommands)}}",
			"{{- if .HasSubCommands}}  {{ .CommandPath}}", "{{- if .HasSubCommands}}{{if .Runnable}}\n      {{end}}  {{ .CommandPath}}",
		).Replace(root.UsageTemplate()))
		return c.Usage()
	})
}
