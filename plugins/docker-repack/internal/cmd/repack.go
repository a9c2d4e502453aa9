package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/report"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type repackOptions struct {
	workFlags
	rival    rivalFlags
	layers   layerFlags
	analysis analysisFlags
	dryRun   bool
	verify   bool
	progress string
	output   render.Flags
}

func newRepackCmd(dockerCLI command.Cli) *cobra.Command {
	var opts repackOptions
	cmd := &cobra.Command{
		Use:   "repack [OPTIONS] SOURCE [DEST]",
		Short: "Re-lay an image into layers that pull fastest",
		Long: `Re-lay an image into few, deduplicated, evenly sized, well compressed layers,
without changing one byte, mode, owner, time, attribute or link of its root
filesystem.

SOURCE and DEST are each one of

  NAME, docker://NAME             an image of a registry
  oci://DIR[:TAG]                 an OCI image layout
  oci-archive://FILE[:TAG]        the same in a tar file
  docker-archive://FILE[:NAME]    what docker save writes and docker load reads
  docker-daemon://NAME            an image of the engine of the docker context

Without DEST the result goes to the source's repository under its tag with
"-repacked" after it, and out of an archive into a file that is called so. Of an
index all images are repacked, or those that --platform chooses; attestations
follow their images. Nothing appears under the name of DEST before all of it is
there and has been compared. An archive that is DEST is written anew.

Of several layers, the two lowest are smaller than --target-size: a third of it, and
two thirds. Engines download three at a time; so one is there after the other, and
unpacking need not wait for three at once. Small files of packages, which take the
longest to unpack, are in the lowest layers, and what is no package's is on top.

Layers are zstd, which engines before Docker 23 do not read; into docker-archive://
and into such engines they are gzip. Engines without the containerd image store
hold one platform of an image, by default their own.

With --dry-run nothing is written, and DEST is not looked at.

The command lines of the program docker-repack work unchanged: --concurrency is
--jobs, --keep-temp-files is accepted, patterns such as "linux/*" choose platforms,
and of --compression-level 1 to 4 are "fast", 5 to 11 "balanced", above "max".

An image that is called like a subcommand is written docker://verify.` +
			cliplugin.ExitStatusHelp(""),
		Example: `  docker repack ghcr.io/org/app:1.2 ghcr.io/org/app:1.2-fast --target-size 50MB
  docker repack ghcr.io/org/app:1.2
  docker repack ghcr.io/org/app:1.2 --report before-after.html
  docker repack docker://python:3.13 oci:///tmp/oci --target-size=50MB --platform linux/amd64
  docker repack docker-daemon://app:1 docker-archive://app.tar:app:1`,
		Args: opts.layers.images(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRepack(cmd, dockerCLI, opts, args)
		},
		ValidArgsFunction: completeImages(2),
	}
	opts.layers.addTo(cmd)
	cmd.Flags().BoolVar(&opts.verify, "verify", true, "Read the result back and compare it with the source; other destinations are compared only on request")
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, `Only tell what would be done, as "docker repack plan" does`)
	opts.analysis.addTo(cmd)
	opts.workFlags.addTo(cmd)
	opts.rival.addTo(cmd, &opts.workFlags)
	display.AddFlag(cmd, &opts.progress)
	opts.output.AddTo(cmd, "Print only the digest of the result")
	return cmd
}

// An outcome is what the command prints.
type outcome struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	*repack.Result
	Seconds float64 `json:"seconds"`
}

func runRepack(cmd *cobra.Command, dockerCLI command.Cli, opts repackOptions, args []string) error {
	ctx, start := cmd.Context(), time.Now()
	o, source, dest, err := opts.parse(args)
	if err != nil {
		return err
	}
	if opts.dryRun {
		return printPlan(ctx, dockerCLI, source, o, planOutput{&opts.layers, opts.jobs, opts.progress, opts.analysis, opts.output})
	}
	if !cmd.Flags().Changed("verify") {
		o.Verify = dest.Kind == image.Registry
	}
	d, err := display.New(os.Stderr, opts.progress, "repacking")
	if err != nil {
		return cliplugin.Usage(err)
	}
	defer d.Close()
	o.Progress = d
	result, err := repackImage(ctx, source, dest, o, &opts.layers, imageOptions(dockerCLI, opts.jobs, o.TempDir, d))
	d.Close()
	if err != nil {
		return err
	}
	if opts.rival.keepTempFiles {
		fmt.Fprintln(dockerCLI.Err(), "NOTE: --keep-temp-files has no effect: temporary files have no names and are gone with the process")
	}
	for _, w := range result.Warnings {
		fmt.Fprintf(dockerCLI.Err(), "WARNING: %s\n", report.Printable(w))
	}
	if err := opts.analysis.write(result.Analysis); err != nil {
		return err
	}
	r := outcome{source.String(), dest.String(), result, time.Since(start).Round(time.Millisecond).Seconds()}
	return opts.output.Print(dockerCLI.Out(), r.Digest, r, r.table)
}

func repackImage(ctx context.Context, source, dest image.Reference, o repack.Options, layers *layerFlags, access image.Options) (*repack.Result, error) {
	subject, err := image.Resolve(ctx, source, access)
	if err != nil {
		return nil, err
	}
	defer subject.Close()
	previous, done, err := layers.resolve(ctx, access)
	if err != nil {
		return nil, err
	}
	defer done()
	o.Previous = previous
	o.Resolve = baseResolver(access)
	dst, err := repack.OpenDestination(ctx, dest, access)
	if err != nil {
		return nil, err
	}
	result, err := repack.Run(ctx, subject, dst, o)
	if err != nil {
		return nil, fmt.Errorf("repacking %s: %w", source, err)
	}
	result.Warnings = append(result.Warnings, repack.LeftBehind(ctx, subject, result, access)...)
	return result, nil
}

// parse checks everything that can be checked before any work is done.
func (opts *repackOptions) parse(args []string) (o repack.Options, source, dest image.Reference, err error) {
	fail := func(err error) (repack.Options, image.Reference, image.Reference, error) {
		return o, source, dest, cliplugin.Usage(err)
	}
	if o, err = opts.layers.parse(); err != nil {
		return fail(err)
	}
	var printed any = outcome{}
	if opts.dryRun {
		printed = repack.Analysis{}
	}
	if err := opts.output.Validate(printed); err != nil {
		return fail(err)
	}
	if opts.dryRun && opts.output.Quiet {
		return fail(errors.New("--quiet prints the result's digest, and with --dry-run there is no result"))
	}
	if err := opts.analysis.validate(); err != nil {
		return fail(err)
	}
	o.Verify, o.Analyze, o.Top = opts.verify, opts.analysis.file != "", opts.analysis.top
	if err := opts.workFlags.parse(&o); err != nil {
		return fail(err)
	}
	if source, err = image.Parse(args[0]); err != nil {
		return fail(err)
	}
	switch {
	case len(args) == 2:
		dest, err = image.Parse(args[1])
	case !opts.dryRun:
		dest, err = repack.DefaultDestination(source)
	}
	if err == nil && !opts.dryRun {
		err = repack.CheckPair(source, dest)
	}
	if err != nil {
		return fail(err)
	}
	return o, source, dest, nil
}

func (r outcome) table(w io.Writer) error {
	fmt.Fprintf(w, "source\t%s\t%s\n", r.Source, r.SourceDigest)
	fmt.Fprintf(w, "destination\t%s\t%s\n", r.Destination, r.Digest)
	for _, i := range r.Images {
		fmt.Fprintf(w, "\nplatform\t%s\n", i.Platform)
		if len(r.Images) > 1 || i.Digest != r.Digest {
			fmt.Fprintf(w, "digest\t%s\n", i.Digest)
		}
		fmt.Fprintf(w, "layers\t%d -> %d\n", i.LayersBefore, i.LayersAfter)
		fmt.Fprintf(w, "compressed\t%s -> %s%s\n", size(i.BytesBefore), size(i.BytesAfter), percent(i.BytesBefore, i.BytesAfter))
		if i.LayersKept > 0 {
			fmt.Fprintf(w, "kept\t%d layers, %s\n", i.LayersKept, size(i.BytesKept))
		}
		sharingLine(w, i.Sharing)
		fmt.Fprintf(w, "largest layer\t%s\n", size(i.LargestLayer))
		fmt.Fprintf(w, "sent\t%s\n", size(i.BytesSent))
		fmt.Fprintf(w, "files\t%s in %d entries\n", size(i.FileBytes), i.Entries)
		fmt.Fprintf(w, "dead\t%s\n", size(i.DeadBytes))
		fmt.Fprintf(w, "duplicate\t%s\n", size(i.DuplicateBytes))
		verified := "not verified"
		if i.Verified {
			verified = "verified"
		}
		fmt.Fprintf(w, "tree\t%s\t%s\n", i.Tree, verified)
	}
	_, err := fmt.Fprintf(w, "\ntime\t%.1fs\n", r.Seconds)
	return err
}

func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

func percent(before, after int64) string {
	if before == 0 {
		return ""
	}
	return fmt.Sprintf(" (%+.1f%%)", 100*(float64(after)/float64(before)-1))
}
