// Package cliplugin is the frame that every plugin of the suite runs in: one
// call to [Main] from package main.
//
// It connects a cobra command tree to the docker CLI plugin protocol, makes the
// same binary work when called as docker-NAME, cancels the commands' context on
// SIGINT and SIGTERM, and turns the error that comes back into a message, a
// hint and an exit status. Nothing else in the suite prints errors or exits.
package cliplugin

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/debug"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel"
)

const (
	vendor     = "Docker Factory"
	projectURL = "https://github.com/dockerfactory/dockerfactory"
)

// Main runs the plugin whose root command newRoot makes and exits the process.
// The name of the plugin is the first word of the root command's Use line.
func Main(newRoot func(command.Cli) *cobra.Command) {
	os.Exit(run(newRoot))
}

func run(newRoot func(command.Cli) *cobra.Command) int {
	otel.SetErrorHandler(debug.OTELErrorHandler)

	dockerCLI, err := command.NewDockerCli(command.WithUserAgent("dockerfactory/" + Version()))
	if err != nil {
		return report(os.Stderr, err)
	}
	root := newRoot(dockerCLI)
	if plugin.RunningStandalone() {
		os.Args = standaloneArgs(os.Args, root.Name())
	}

	ctx, stop := signalContext(context.Background())
	defer stop()
	prepare(root, ctx)

	err = plugin.RunPlugin(dockerCLI, root, metadata.Metadata{
		SchemaVersion:    "0.1.0",
		Vendor:           vendor,
		Version:          Version(),
		ShortDescription: root.Short,
		URL:              projectURL,
	})
	if err != nil && ctx.Err() != nil {
		err = interrupted{err}
	}
	return report(dockerCLI.Err(), err)
}

// signalContext returns a context that the first SIGINT or SIGTERM cancels. From
// then on the signals have their default effect, so that a second one ends the
// process at once: on a terminal the docker CLI leaves that to the plugin.
func signalContext(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// prepare gives every command of the tree the signal context, documents the exit
// statuses and makes wrong arguments usage errors.
//
// plugin.RunPlugin executes the tree on context.Background(), so the context has
// to be set in the root's PersistentPreRunE before the plugin package's own hook
// wraps it (docker/buildx does the same).
func prepare(root *cobra.Command, ctx context.Context) {
	own := root.PersistentPreRunE
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		cmd.SetContext(ctx)
		if err := plugin.PersistentPreRunE(cmd, args); err != nil {
			return err
		}
		if own != nil {
			return own(cmd, args)
		}
		return nil
	}
	visit(root, func(cmd *cobra.Command) {
		if args := cmd.Args; args != nil {
			cmd.Args = func(cmd *cobra.Command, a []string) error { return Usage(args(cmd, a)) }
		}
		// An unknown verb must not pass as help with status 0.
		if cmd.HasSubCommands() && cmd.RunE == nil && cmd.Run == nil {
			cmd.Args = nil
			cmd.RunE = unknownVerb
		}
	})
}

func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	msg := fmt.Sprintf("unknown command %q for %q", args[0], "docker "+commandPath(cmd))
	if cmd.SuggestionsMinimumDistance == 0 {
		cmd.SuggestionsMinimumDistance = 2 // cobra's own choice, which it makes too late for us
	}
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		msg += fmt.Sprintf("; did you mean %q?", s[0])
	}
	return Usage(fmt.Errorf("%s", msg))
}

// commandPath is cmd's path without the "docker" in front.
func commandPath(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), "docker ")
}

func visit(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, c := range cmd.Commands() {
		visit(c, fn)
	}
}

// standaloneArgs rewrites the arguments of a direct call, "docker-NAME args", to
// those of a call through docker, "docker-NAME NAME args". Cobra's completion
// verbs and the metadata verb stay in front.
func standaloneArgs(args []string, name string) []string {
	if len(args) > 1 {
		switch args[1] {
		case metadata.MetadataSubcommandName:
			return args
		case cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
			return slices.Concat([]string{args[0], args[1], name}, args[2:])
		}
	}
	return slices.Concat([]string{args[0], name}, args[min(1, len(args)):])
}
