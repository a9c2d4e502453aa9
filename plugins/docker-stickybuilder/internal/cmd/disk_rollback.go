package cmd

import (
	"context"
	"io"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

func newDiskRollbackCmd(dockerCLI command.Cli) *cobra.Command {
	var f choiceFlags
	var output render.Flags
	cmd := &cobra.Command{
		Use:   "rollback [OPTIONS] [GENERATION]",
		Short: "Move a disk's head back to an earlier generation",
		Long: `Move the head to GENERATION or, if none is named, to the nearest earlier one that is
not marked as bad. The next "up" clones it. Generations that are newer are kept
beside the head, so that another rollback can name them, until they are collected.

A job that works on a clone of the former head and commits later is told of the
conflict, and does not move the head again.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stickybuilder disk rollback
  docker stickybuilder disk rollback --disk dir:/mnt/cache 20260102T030405Z-0123456789ab`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: f.completeGenerations(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return explainRoot(runDiskRollback(cmd.Context(), dockerCLI, f, output, args))
		},
	}
	f.add(cmd, keyDefault, refDefault)
	output.AddTo(cmd, "Print only the id of the head")
	return cmd
}

func runDiskRollback(ctx context.Context, dockerCLI command.Cli, f choiceFlags, output render.Flags, args []string) error {
	if err := output.Validate(sticky.Rolled{}); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	o, err := f.choice(ctx, h, args)
	if err != nil {
		return err
	}
	r, err := h.RollbackDisk(ctx, o)
	if err != nil {
		return err
	}
	if r.From == r.To {
		note(dockerCLI, "%s is the head already", r.To)
	}
	return output.Print(dockerCLI.Out(), r.To, r, func(w io.Writer) error {
		for _, row := range [][]string{{"KEY", r.Key}, {"PLATFORM", r.Platform}, {"FROM", dash(r.From)}, {"TO", r.To}} {
			if err := statusLine(w, row...); err != nil {
				return err
			}
		}
		return nil
	})
}
