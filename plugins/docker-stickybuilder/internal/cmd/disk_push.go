package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

func newDiskPushCmd(dockerCLI command.Cli) *cobra.Command {
	var f choiceFlags
	var mode string
	var output render.Flags
	cmd := &cobra.Command{
		Use:   "push [OPTIONS]",
		Short: "Upload generations that a registry could not take",
		Long: `Upload to a registry the generations that "down" had to leave on this machine,
because the registry could not be reached or refused them. Each becomes its disk's
head if that still is what it was made of; else it is kept beside the head.

The next "up" with the same disk and key does so too.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stickybuilder disk push --disk oci:registry.example.com/team/disks`,
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explainRoot(runDiskPush(cmd.Context(), dockerCLI, f, mode, output))
		},
	}
	f.addDisk(cmd)
	display.AddFlag(cmd, &mode)
	output.AddTo(cmd, "Print only the ids of what was uploaded")
	return cmd
}

func runDiskPush(ctx context.Context, dockerCLI command.Cli, f choiceFlags, mode string, output render.Flags) error {
	if err := output.Validate(sticky.Pushed{}); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	spec, err := f.spec(h)
	if err != nil {
		return err
	}
	show, err := display.New(os.Stderr, mode, "uploading")
	if err != nil {
		return cliplugin.Usage(err)
	}
	done, err := h.PushDisk(ctx, spec, show)
	_ = show.Close()
	if err == nil && len(done) == 0 {
		note(dockerCLI, "nothing is pending")
	}
	var ids []string
	for _, p := range done {
		if p.Decision != sticky.Pending {
			ids = append(ids, p.ID)
		}
	}
	if output.Quiet && len(ids) == 0 {
		return err
	}
	return errors.Join(err, output.Print(dockerCLI.Out(), strings.Join(ids, "\n"), done, func(w io.Writer) error {
		if len(done) == 0 {
			return nil
		}
		if err := statusLine(w, "GENERATION", "DECISION", "KEY"); err != nil {
			return err
		}
		for _, p := range done {
			if err := statusLine(w, p.ID, string(p.Decision), p.Lineage.Name()); err != nil {
				return err
			}
		}
		return nil
	}))
}
