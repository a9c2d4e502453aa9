package cmd

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/report"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type planOptions struct {
	workFlags
	layers   layerFlags
	analysis analysisFlags
	progress string
	output   render.Flags
}

func newPlanCmd(dockerCLI command.Cli) *cobra.Command {
	var opts planOptions
	cmd := &cobra.Command{
		Use:   "plan [OPTIONS] SOURCE",
		Short: "Show what an image's layers waste and what repacking would make of them",
		Long: `Show what repacking would change, and why: what each layer holds, which contents
are dead because upper layers hide them, which files are there more than once,
and the layers that would be made, with their predicted sizes. The source is read
once; nothing is written, and nothing is compressed but samples.

Dead files can still be read by whoever has the image. Those that look like
secrets, by their names or by the header of a private key, are listed apart. That
is a hint, not a verdict: names that are common in source code and public
certificates are left out, and a secret may have any name.

"Efficiency" is the part of all contents that is not dead; "kept" says of a dead
file that another file of the root filesystem has the same content.` +
			cliplugin.ExitStatusHelp(""),
		Example: `  docker repack plan ghcr.io/org/app:1.2
  docker repack plan ghcr.io/org/app:1.2 --platform linux/amd64 --report plan.html
  docker repack plan app:1 --format '{{range .Images}}{{.Before.DeadBytes}}{{end}}'`,
		Args: opts.layers.images(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPlan(cmd.Context(), dockerCLI, opts, args[0])
		},
		ValidArgsFunction: completeImages(1),
	}
	opts.layers.addTo(cmd)
	opts.analysis.addTo(cmd)
	opts.workFlags.addTo(cmd)
	display.AddFlag(cmd, &opts.progress)
	opts.output.AddTo(cmd, "")
	return cmd
}

func runPlan(ctx context.Context, dockerCLI command.Cli, opts planOptions, arg string) error {
	o, err := opts.layers.parse()
	if err != nil {
		return err
	}
	if err := opts.output.Validate(repack.Analysis{}); err != nil {
		return cliplugin.Usage(err)
	}
	if err := opts.analysis.validate(); err != nil {
		return err
	}
	if err := opts.workFlags.parse(&o); err != nil {
		return err
	}
	o.Top = opts.analysis.top
	source, err := image.Parse(arg)
	if err != nil {
		return cliplugin.Usage(err)
	}
	return printPlan(ctx, dockerCLI, source, o, planOutput{&opts.layers, opts.jobs, opts.progress, opts.analysis, opts.output})
}

// A planOutput says how a plan is made known.
type planOutput struct {
	layers   *layerFlags
	jobs     int
	progress string
	analysis analysisFlags
	output   render.Flags
}

func printPlan(ctx context.Context, dockerCLI command.Cli, source image.Reference, o repack.Options, out planOutput) error {
	d, err := display.New(os.Stderr, out.progress, "planning")
	if err != nil {
		return cliplugin.Usage(err)
	}
	defer d.Close()
	o.Progress = d
	access := imageOptions(dockerCLI, out.jobs, o.TempDir, d)
	subject, err := image.Resolve(ctx, source, access)
	if err != nil {
		return err
	}
	defer subject.Close()
	previous, done, err := out.layers.resolve(ctx, access)
	if err != nil {
		return err
	}
	defer done()
	o.Previous = previous
	o.Resolve = baseResolver(access)
	a, err := repack.Plan(ctx, subject, o)
	d.Close()
	if err != nil {
		return fmt.Errorf("planning %s: %w", source, err)
	}
	for _, w := range a.Warnings {
		fmt.Fprintf(dockerCLI.Err(), "WARNING: %s\n", report.Printable(w))
	}
	if err := out.analysis.write(a); err != nil {
		return err
	}
	return out.output.Print(dockerCLI.Out(), "", a, func(w io.Writer) error { return planTable(w, a) })
}
