package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/pulltime"
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

// defaultBandwidths are those of an office, a data centre's edge, and its inside.
var defaultBandwidths = []string{"50Mbit", "200Mbit", "1Gbit"}

const defaultRTT = 20 * time.Millisecond

// linkFlags describe the way between registry and engine.
type linkFlags struct {
	bandwidths []string
	connection string
	rtt        time.Duration
}

func (f *linkFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.bandwidths, "bandwidth", defaultBandwidths, "Bandwidths of the link to predict for")
	cmd.Flags().StringVar(&f.connection, "connection-bandwidth", "", "Bandwidth that one connection gets at most (default no limit)")
	cmd.Flags().DurationVar(&f.rtt, "rtt", defaultRTT, "Round trip time of the link")
	_ = cmd.RegisterFlagCompletionFunc("bandwidth", cobra.FixedCompletions(defaultBandwidths, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder))
	_ = cmd.RegisterFlagCompletionFunc("connection-bandwidth", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("rtt", cobra.NoFileCompletions)
}

func (f *linkFlags) parse() ([]pulltime.Link, error) {
	if f.rtt < 0 || f.rtt > time.Minute {
		return nil, cliplugin.Usage(fmt.Errorf("--rtt %s: must be 0 to 1m", f.rtt))
	}
	var connection float64
	var err error
	if f.connection != "" {
		if connection, err = parseBandwidth(f.connection); err != nil {
			return nil, cliplugin.Usage(fmt.Errorf("--connection-bandwidth: %w", err))
		}
	}
	var out []pulltime.Link
	for _, s := range f.bandwidths {
		b, err := parseBandwidth(s)
		if err != nil {
			return nil, cliplugin.Usage(fmt.Errorf("--bandwidth: %w", err))
		}
		out = append(out, pulltime.Link{Bandwidth: b, Connection: connection, RTT: f.rtt})
	}
	return out, nil
}

// parseBandwidth reads bits for each second, as tc spells them, "50Mbit", and
// returns bytes.
func parseBandwidth(s string) (float64, error) {
	lower := strings.ToLower(strings.TrimSpace(s))
	for _, u := range []struct {
		suffix string
		bits   float64
	}{{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}} {
		if digits, ok := strings.CutSuffix(lower, u.suffix); ok {
			if n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64); err == nil && n*u.bits >= 1000 && n*u.bits <= 1e15 {
				return n * u.bits / 8, nil
			}
		}
	}
	return 0, fault.Hint(fmt.Errorf("%q is not a bandwidth", s), "write a number and kbit, Mbit or Gbit, such as 200Mbit")
}

type pullTimeOptions struct {
	workFlags
	links    linkFlags
	deep     bool
	gzip     float64
	zstd     float64
	entry    time.Duration
	layer    time.Duration
	start    time.Duration
	progress string
	output   render.Flags
}

func newPullTimeCmd(dockerCLI command.Cli) *cobra.Command {
	var opts pullTimeOptions
	rates := pulltime.DefaultRates
	cmd := &cobra.Command{
		Use:   "pull-time [OPTIONS] REF",
		Short: "Predict how long engines take to pull and unpack an image",
		Long: `Predict, by simulation, how long engines take to pull and unpack an image: dockerd
and containerd as they come, with 3 downloads at a time and one layer unpacked
after the other, and containerd unpacking 4 layers at a time.

Only the manifest and the config are read. They tell the compressed sizes; what
layers unpack to and how many files they have is assumed to be as in common images,
unless the image was made by docker repack, whose history tells the numbers of
files. With --deep the layers are read, and nothing is assumed.

Unpacking is predicted for a machine of two processors of a server and a local disk
that has nothing else to do. Of another one, the flags for rates and costs tell
what it takes: a machine that is twice as slow has half the rates and twice the
costs. The project's benchmark measures and prints those of the machine it runs on.

What takes the most of the time is shown beside it: the link, the limit of each
connection, or unpacking.` +
			cliplugin.ExitStatusHelp(""),
		Example: `  docker repack pull-time ghcr.io/org/app:1.2
  docker repack pull-time ghcr.io/org/app:1.2-repacked --bandwidth 100Mbit,10Gbit --rtt 5ms
  docker repack pull-time oci:///tmp/oci --deep --format json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPullTime(cmd.Context(), dockerCLI, opts, args[0])
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	opts.links.addTo(cmd)
	fs := cmd.Flags()
	fs.BoolVar(&opts.deep, "deep", false, "Read the layers, for exact numbers of files and unpacked sizes")
	fs.Float64Var(&opts.gzip, "gzip-rate", rates.Gzip/1e6, "MB of tar stream that an engine unpacks in a second from gzip")
	fs.Float64Var(&opts.zstd, "zstd-rate", rates.Zstd/1e6, "MB of tar stream that an engine unpacks in a second from zstd")
	fs.DurationVar(&opts.entry, "entry-cost", rates.Entry, "Time that an engine takes to make one file")
	fs.DurationVar(&opts.layer, "layer-cost", rates.Layer, "Time that an engine takes for a layer without files")
	fs.DurationVar(&opts.start, "start-cost", rates.Start, "Time that an engine takes for a pull without layers")
	for _, name := range []string{"gzip-rate", "zstd-rate", "entry-cost", "layer-cost", "start-cost"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	opts.workFlags.addTo(cmd)
	display.AddFlag(cmd, &opts.progress)
	opts.output.AddTo(cmd, "")
	return cmd
}

func (opts *pullTimeOptions) pull() (repack.PullOptions, error) {
	links, err := opts.links.parse()
	if err != nil {
		return repack.PullOptions{}, err
	}
	if opts.gzip <= 0 || opts.zstd <= 0 {
		return repack.PullOptions{}, cliplugin.Usage(errors.New("--gzip-rate and --zstd-rate must be more than 0"))
	}
	if opts.entry < 0 || opts.layer < 0 || opts.start < 0 {
		return repack.PullOptions{}, cliplugin.Usage(errors.New("--entry-cost, --layer-cost and --start-cost must not be negative"))
	}
	rates := pulltime.Rates{Gzip: opts.gzip * 1e6, Zstd: opts.zstd * 1e6, Entry: opts.entry, Layer: opts.layer, Start: opts.start}
	return repack.PullOptions{Links: links, Rates: rates, Deep: opts.deep}, nil
}

func runPullTime(ctx context.Context, dockerCLI command.Cli, opts pullTimeOptions, arg string) error {
	if err := opts.output.Validate(repack.PullTimes{}); err != nil {
		return cliplugin.Usage(err)
	}
	pull, err := opts.pull()
	if err != nil {
		return err
	}
	var o repack.Options
	if err := opts.workFlags.parse(&o); err != nil {
		return err
	}
	ref, err := image.Parse(arg)
	if err != nil {
		return cliplugin.Usage(err)
	}
	d, err := display.New(os.Stderr, opts.progress, "predicting")
	if err != nil {
		return cliplugin.Usage(err)
	}
	defer d.Close()
	o.Progress = d
	subject, err := image.Resolve(ctx, ref, imageOptions(dockerCLI, opts.jobs, "", d))
	if err != nil {
		return err
	}
	defer subject.Close()
	t, err := repack.PullTimesOf(ctx, subject, o, pull)
	d.Close()
	if err != nil {
		return fmt.Errorf("predicting the pull time of %s: %w", ref, err)
	}
	return opts.output.Print(dockerCLI.Out(), "", t, func(w io.Writer) error { return pullTimeTable(w, t) })
}

func pullTimeTable(w io.Writer, t *repack.PullTimes) error {
	fmt.Fprintf(w, "source\t%s\t%s\n", t.Source, t.SourceDigest)
	for _, i := range t.Images {
		fmt.Fprintf(w, "\nplatform\t%s\n", i.Platform)
		fmt.Fprintf(w, "layers\t%d, %s, the largest %s\n", i.Layers, size(i.Bytes), size(i.LargestLayer))
		about := ""
		if i.Assumed {
			about = "about "
		}
		fmt.Fprintf(w, "entries\t%s%d\n", about, i.Entries)
		fmt.Fprintln(w, "\nBANDWIDTH\tENGINE\tPULL\tDOWNLOAD\tUNPACK\tBOUND BY")
		for _, p := range i.Times {
			fmt.Fprintf(w, "%s\t%s\t%.1fs\t%.1fs\t%.1fs\t%s\n", bandwidth(p.Bandwidth), p.Profile, p.Seconds, p.Download, p.Unpack, p.Bound)
		}
	}
	return nil
}

func bandwidth(bits float64) string {
	switch {
	case bits >= 1e9:
		return strconv.FormatFloat(bits/1e9, 'g', 4, 64) + "Gbit"
	case bits >= 1e6:
		return strconv.FormatFloat(bits/1e6, 'g', 4, 64) + "Mbit"
	}
	return strconv.FormatFloat(bits/1e3, 'g', 4, 64) + "kbit"
}

// pullTable compares the pull times before and after.
func pullTable(w io.Writer, before, after []repack.PullTime) {
	if len(before) == 0 {
		return
	}
	fmt.Fprintln(w, "\nPULL\tENGINE\tBEFORE\tAFTER\tBOUND BY")
	for n, p := range before {
		fmt.Fprintf(w, "%s\t%s\t%.1fs\t%.1fs\t%s\n", bandwidth(p.Bandwidth), p.Profile, p.Seconds, after[n].Seconds, after[n].Bound)
	}
}
