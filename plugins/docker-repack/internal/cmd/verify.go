package cmd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/report"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type verifyOptions struct {
	workFlags
	tempDir  string
	progress string
	output   render.Flags
}

func newVerifyCmd(dockerCLI command.Cli) *cobra.Command {
	var opts verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [OPTIONS] A B",
		Short: "Tell whether two images have equal root filesystems and configs",
		Long: `Tell whether two images would run alike: whether their merged root filesystems
have the same canonical tree digest, and their configs the same entrypoint,
command, environment, user, labels and so on. Every difference is listed.

Indexes are compared platform by platform.` +
			cliplugin.ExitStatusHelp("the images differ"),
		Example: `  docker repack verify ghcr.io/org/app:1.2 ghcr.io/org/app:1.2-repacked
  docker repack verify app:1 oci:///tmp/oci --platform linux/amd64 --format json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), dockerCLI, opts, args)
		},
		ValidArgsFunction: completeImages(2),
	}
	opts.addTo(cmd)
	cmd.Flags().StringVar(&opts.tempDir, "tmpdir", "", "Directory for images out of an engine and compressed archives (default the system's)")
	_ = cmd.MarkFlagDirname("tmpdir")
	display.AddFlag(cmd, &opts.progress)
	opts.output.AddTo(cmd, "")
	return cmd
}

func runVerify(ctx context.Context, dockerCLI command.Cli, opts verifyOptions, args []string) error {
	if err := opts.output.Validate(repack.Comparison{}); err != nil {
		return cliplugin.Usage(err)
	}
	var o repack.Options
	err := opts.workFlags.parse(&o)
	if err != nil {
		return err
	}
	var refs [2]image.Reference
	for i, arg := range args {
		if refs[i], err = image.Parse(arg); err != nil {
			return cliplugin.Usage(err)
		}
	}
	d, err := display.New(os.Stderr, opts.progress, "verifying")
	if err != nil {
		return cliplugin.Usage(err)
	}
	defer d.Close()
	var subjects [2]image.Subject
	for i, ref := range refs {
		if subjects[i], err = image.Resolve(ctx, ref, imageOptions(dockerCLI, opts.jobs, opts.tempDir, d)); err != nil {
			return err
		}
		defer subjects[i].Close()
	}
	o.Progress = d
	c, err := repack.Compare(ctx, subjects[0], subjects[1], o)
	d.Close()
	if err != nil {
		return err
	}
	if err := opts.output.Print(dockerCLI.Out(), "", c, func(w io.Writer) error { return comparisonTable(w, c) }); err != nil {
		return err
	}
	if !c.Equal {
		return cliplugin.Negative(fmt.Errorf("%s and %s differ, in %d ways", args[0], args[1], len(c.Differences)))
	}
	return nil
}

func comparisonTable(w io.Writer, c *repack.Comparison) error {
	for _, side := range []repack.Side{c.A, c.B} {
		fmt.Fprintf(w, "%s\t%s\n", side.Reference, side.Digest)
		for _, platform := range slices.Sorted(maps.Keys(side.Trees)) {
			fmt.Fprintf(w, "  %s\ttree %s\n", platform, side.Trees[platform])
		}
	}
	if c.Equal {
		_, err := fmt.Fprintln(w, "\nequal")
		return err
	}
	fmt.Fprintln(w, "\nPLATFORM\tPATH\tWHAT\tA\tB")
	for _, d := range c.Differences {
		path := "(config)" // not quoted, unlike a file of that name
		if d.Path != "" {
			path = strconv.Quote(d.Path)
		}
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.Platform, path, d.What, report.Printable(d.A), report.Printable(d.B)); err != nil {
			return err
		}
	}
	return nil
}
