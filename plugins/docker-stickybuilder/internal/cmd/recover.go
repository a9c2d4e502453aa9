package cmd

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type recoverOptions struct {
	progress string
	output   render.Flags
}

func newRecoverCmd(dockerCLI command.Cli) *cobra.Command {
	var o recoverOptions
	cmd := &cobra.Command{
		Use:   "recover [OPTIONS]",
		Short: "Clean up builders whose supervisor died",
		Long: `End every builder whose supervisor died, with its machine or without: kill what is
left of it, remove its container, discard its clone, and take it out of the buildx
store. Of a builder whose supervisor has ended because its job had, show the decision.
Pools in files that commands which were killed have left mounted are unmounted.
Builders that live are left alone.

"up" and "down" do the same for the one builder that they are about.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stickybuilder recover`,
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runRecover(cmd.Context(), dockerCLI, o) },
	}
	display.AddFlag(cmd, &o.progress)
	o.output.AddTo(cmd, "")
	return cmd
}

func runRecover(ctx context.Context, dockerCLI command.Cli, o recoverOptions) error {
	if err := o.output.Validate(sticky.Report{}); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	show, err := display.New(os.Stderr, o.progress, "recovering")
	if err != nil {
		return cliplugin.Usage(err)
	}
	done, err := h.Recover(ctx, os.Getenv("GITHUB_ENV"), show)
	_ = show.Close()
	for _, dir := range done.Released {
		note(dockerCLI, "unmounted the pool %s, which a command that was killed had left mounted", dir)
	}
	if len(done.Reports) == 0 && len(done.Released) == 0 && err == nil {
		note(dockerCLI, "no builder needs it")
	}
	errs := []error{explainRoot(err)}
	errs = append(errs, o.output.Print(dockerCLI.Out(), "", done.Reports, func(w io.Writer) error {
		for _, r := range done.Reports {
			if err := statusLine(w, r.Name, string(r.Decision), r.Reason); err != nil {
				return err
			}
		}
		return nil
	}))
	return errors.Join(errs...)
}
