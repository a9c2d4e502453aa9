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
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
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
left of it, discard its clone, and take it out of the buildx store. Of a builder whose
supervisor has ended because its job had, show the decision. Builders that live are
left alone.

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
	all, err := h.List()
	if err != nil {
		return explainRoot(err)
	}
	show, err := display.New(os.Stderr, o.progress, "recovering")
	if err != nil {
		return cliplugin.Usage(err)
	}
	reports := []*sticky.Report{}
	var errs []error
	for _, s := range all {
		if s.State != sticky.StateDead && s.State != sticky.StateEnded {
			continue
		}
		r, err := h.Down(ctx, sticky.DownOptions{Name: s.Name, Policy: history.Auto, OnlyDead: true, EnvFile: os.Getenv("GITHUB_ENV")}, show)
		errs = append(errs, err)
		if r != nil && r.Decision != sticky.Idle {
			reports = append(reports, r)
		}
	}
	_ = show.Close()
	if len(reports) == 0 && len(errs) == 0 {
		note(dockerCLI, "no builder needs it")
	}
	errs = append(errs, o.output.Print(dockerCLI.Out(), "", reports, func(w io.Writer) error {
		for _, r := range reports {
			if err := statusLine(w, r.Name, string(r.Decision), r.Reason); err != nil {
				return err
			}
		}
		return nil
	}))
	return errors.Join(errs...)
}
