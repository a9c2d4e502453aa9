package cmd

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/report"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/dockerauth"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// platformNames are what completion offers.
var platformNames = []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/riscv64", "linux/s390x"}

// workFlags are the flags of every command that reads images.
type workFlags struct {
	platforms []string
	jobs      int
	memory    string
}

func (f *workFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.platforms, "platform", nil, `Images of an index to choose, such as "linux/amd64,linux/arm64" or "linux/*" (default all; those for Windows stay as they are)`)
	cmd.Flags().IntVar(&f.jobs, "jobs", 0, "Number of layers to work on at a time; the result does not depend on it (default the number of processors)")
	cmd.Flags().StringVar(&f.memory, "memory", "512MiB", "Memory to work in; it bounds the number of layers under way, and the result does not depend on it")
	_ = cmd.RegisterFlagCompletionFunc("memory", cobra.FixedCompletions([]string{"256MiB", "512MiB", "1GiB", "2GiB"}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder))
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions(platformNames, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("jobs", cobra.NoFileCompletions)
}

// parse sets what the flags say in o.
func (f *workFlags) parse(o *repack.Options) error {
	if f.jobs < 0 {
		return cliplugin.Usage(fmt.Errorf("--jobs %d: must be 1 or more", f.jobs))
	}
	if f.jobs == 0 {
		f.jobs = runtime.GOMAXPROCS(0)
	}
	o.Jobs = f.jobs
	var err error
	if o.Memory, err = repack.ParseMemory(f.memory); err != nil {
		return cliplugin.Usage(fmt.Errorf("--memory: %w", err))
	}
	// What is lent out is bounded by the work itself; the collector follows suit. Huge pages
	// take some more than it counts.
	debug.SetMemoryLimit(o.Memory - o.Memory/16)
	for _, s := range f.platforms {
		p, err := image.ParsePlatformPattern(s)
		if err != nil {
			return cliplugin.Usage(fault.Hint(fmt.Errorf("--platform %q: not a platform", s), "write OS/ARCH[/VARIANT], such as linux/arm64, or a pattern, such as 'linux/*'"))
		}
		o.Platforms = append(o.Platforms, p)
	}
	return nil
}

// layerFlags are the flags that shape layers.
type layerFlags struct {
	targetSize  string
	compression string
	level       string
	tempDir     string
	maxLayers   int
	previous    string
	keepBase    string
}

func (f *layerFlags) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&f.targetSize, "target-size", "t", "50MB", "Compressed size that each layer should have")
	fs.StringVar(&f.compression, "compression", "", `Compression of the layers ("zstd"; "gzip" for engines before Docker 23) (default zstd, or what DEST is read by)`)
	fs.StringVar(&f.level, "compression-level", repack.Levels[0], `Effort of the compression ("fast", "balanced", "max"), or zstd's number for it, 1 to 22`)
	fs.IntVar(&f.maxLayers, "max-layers", repack.DefaultMaxLayers, "Number of layers that the result may have, kept ones included")
	fs.StringVar(&f.previous, "previous", "", "Result of repacking an earlier version, whose layers are kept where they still fit")
	fs.StringVar(&f.keepBase, "keep-base", "", "Leave the `N` lowest layers as they are, so that images on the same base share them (without N: those of the base image that annotations name, or else up to where the history says that the base ends)")
	fs.Lookup("keep-base").NoOptDefVal = autoBase
	_ = cmd.RegisterFlagCompletionFunc("max-layers", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("previous", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("keep-base", cobra.NoFileCompletions)
	fs.StringVar(&f.tempDir, "tmpdir", "", "Directory for temporary files, which take about the image's compressed size (default the system's)")
	for name, values := range map[string][]string{
		"target-size": {"20MB", "50MB", "100MB", "200MB"}, "compression": repack.Compressions, "compression-level": repack.Levels,
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder))
	}
	_ = cmd.MarkFlagDirname("tmpdir")
}

// autoBase is what --keep-base means without a number.
const autoBase = "auto"

func (f *layerFlags) parse() (repack.Options, error) {
	level, err := namedLevel(f.level)
	if err != nil {
		return repack.Options{}, cliplugin.Usage(err)
	}
	o := repack.Options{Compression: f.compression, Level: level, TempDir: f.tempDir, MaxLayers: f.maxLayers}
	if o.Links, err = (&linkFlags{bandwidths: defaultBandwidths, rtt: defaultRTT}).parse(); err != nil {
		return o, err
	}
	if f.maxLayers < 1 || f.maxLayers > repack.EngineLayers {
		return o, cliplugin.Usage(fmt.Errorf("--max-layers %d: must be 1 to %d, which is what engines can have", f.maxLayers, repack.EngineLayers))
	}
	switch n, err := strconv.Atoi(f.keepBase); {
	case f.keepBase == autoBase:
		o.KeepBase = repack.KeepBaseAuto
	case f.keepBase != "" && (err != nil || n < 0):
		return o, cliplugin.Usage(fault.Hint(fmt.Errorf("--keep-base=%s: not a number of layers", f.keepBase), "write --keep-base=N, or --keep-base alone"))
	default:
		o.KeepBase = n
	}
	if f.previous != "" {
		if _, err := image.Parse(f.previous); err != nil {
			return o, cliplugin.Usage(fmt.Errorf("--previous: %w", err))
		}
	}
	if o.TargetSize, err = repack.ParseTargetSize(f.targetSize); err != nil {
		return o, cliplugin.Usage(err)
	}
	if err := o.Validate(); err != nil {
		return o, cliplugin.Usage(err)
	}
	return o, nil
}

// images checks the arguments, of which there may be so many, and that none of them
// was meant as the number of --keep-base: "--keep-base 3" is no flag with a value.
func (f *layerFlags) images(count cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for _, arg := range args {
			if _, err := strconv.Atoi(arg); err == nil && f.keepBase == autoBase {
				return fault.Hint(fmt.Errorf("%q is taken for an image and not for the number of --keep-base", arg),
					"write --keep-base=%s, or docker://%s for the image of that name", arg, arg)
			}
		}
		return count(cmd, args)
	}
}

// resolve finds the earlier result, if there is one. The caller calls done when it
// has been read.
func (f *layerFlags) resolve(ctx context.Context, access image.Options) (previous *image.Subject, done func(), err error) {
	if f.previous == "" {
		return nil, func() {}, nil
	}
	ref, err := image.Parse(f.previous)
	if err != nil {
		return nil, nil, err
	}
	s, err := image.Resolve(ctx, ref, access)
	if err != nil {
		return nil, nil, fmt.Errorf("--previous: %w", err)
	}
	return &s, func() { s.Close() }, nil
}

// baseResolver finds base images in their registries.
func baseResolver(access image.Options) func(context.Context, image.Reference) (image.Subject, error) {
	return func(ctx context.Context, ref image.Reference) (image.Subject, error) {
		return image.Resolve(ctx, ref, access) // of a registry, which leaves nothing to close
	}
}

// namedLevel gives a number that zstd would take the name of the level with about
// the same effort.
func namedLevel(s string) (string, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return s, nil //nolint:nilerr // a name
	case n < 1 || n > 22:
		return "", fmt.Errorf("--compression-level %d: must be 1 to 22, or a name", n)
	case n <= 4:
		return "fast", nil
	case n <= 11:
		return "balanced", nil
	}
	return "max", nil
}

// rivalFlags are those of the program docker-repack that go by other names here,
// or are not needed. They make its command lines work and stay out of the help.
type rivalFlags struct{ keepTempFiles bool }

func (f *rivalFlags) addTo(cmd *cobra.Command, work *workFlags) {
	cmd.Flags().IntVar(&work.jobs, "concurrency", 0, "Same as --jobs")
	cmd.Flags().BoolVar(&f.keepTempFiles, "keep-temp-files", false, "Has no effect: temporary files have no names")
	for _, name := range []string{"concurrency", "keep-temp-files"} {
		_ = cmd.Flags().MarkHidden(name)
	}
}

// analysisFlags say where the analysis of an image goes and how long its lists are.
type analysisFlags struct {
	file string
	top  int
}

func (f *analysisFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "report", "", "Write the analysis to a file as well; its name ends in .json or .html")
	cmd.Flags().IntVar(&f.top, "top", repack.DefaultTop, "Length of the analysis's lists of dead files, duplicates and directories")
	_ = cmd.MarkFlagFilename("report", "json", "html")
	_ = cmd.RegisterFlagCompletionFunc("top", cobra.NoFileCompletions)
}

func (f *analysisFlags) validate() error {
	if f.top < 1 {
		return cliplugin.Usage(fmt.Errorf("--top %d: must be 1 or more", f.top))
	}
	if f.file == "" {
		return nil
	}
	if err := report.Check(f.file); err != nil {
		return cliplugin.Usage(fmt.Errorf("--report %q: %w", f.file, err))
	}
	return nil
}

// write writes the report file if one is asked for.
func (f *analysisFlags) write(a *repack.Analysis) error {
	if f.file == "" {
		return nil
	}
	return report.WriteFile(f.file, a)
}

func imageOptions(dockerCLI command.Cli, jobs int, tempDir string, p progress.Reporter) image.Options {
	return image.Options{
		Keychain:  dockerauth.Keychain(dockerCLI.ConfigFile()),
		UserAgent: "docker-repack/" + cliplugin.Version(),
		Jobs:      jobs,
		Engine:    dockerCLI.Client(), // connects when it is asked something
		TempDir:   tempDir,
		Progress:  p,
	}
}
