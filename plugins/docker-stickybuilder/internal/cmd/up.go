package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/docker/buildx/util/confutil"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/buildkit"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type upOptions struct {
	name         string
	disk         string
	key          string
	readOnly     bool
	config       string
	noUse        bool
	buildkitd    string
	readyTimeout time.Duration
	progress     string
	output       render.Flags
}

func newUpCmd(dockerCLI command.Cli) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up [OPTIONS] [NAME]",
		Short: "Bring a builder up on a clone of its disk",
		Long: `Clone the head of a disk, start buildkitd on the clone, and make it the current
builder of docker buildx, under NAME ("sticky" if none is given). The builder
lives on when the command has ended, until "docker stickybuilder down".

A disk is a pool of generations, --disk dir:PATH. Jobs with the same --key share
one; by default the key is made of the repository and its branch. On btrfs and
xfs the clone shares its blocks with the head; on other filesystems the pool makes
itself one that can, in one sparse file, for which it needs mkfs.btrfs. Without
that the clone is a copy, and up says so.

A builder that is up already is left as it is, and described again.

"docker build" does not follow the current builder but BUILDX_BUILDER: that is
written to $GITHUB_ENV where there is one, else the command to set it is shown.

The clone, logs and sockets are in $XDG_STATE_HOME/docker-stickybuilder, by
default ~/.local/state/docker-stickybuilder.` + cliplugin.ExitStatusHelp(""),
		Example: `  # Bring up the default builder, with a disk for this repository and branch
  docker stickybuilder up

  # Use a pool elsewhere, and do not keep what is built
  docker stickybuilder up --disk dir:/mnt/cache --read-only

  # A second builder beside the first, with registry mirrors of its own
  docker stickybuilder up --config buildkitd.toml --no-use nightly`,
		Args:              maxOneName,
		ValidArgsFunction: completeNames,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.name, err = nameArg(args); err != nil {
				return err
			}
			return runUp(cmd.Context(), dockerCLI, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.disk, "disk", "", `Disk to clone, "dir:PATH" (default: the pool in the state directory)`)
	f.StringVar(&o.key, "key", "", "What jobs share a disk by (default: repository and branch)")
	f.BoolVar(&o.readOnly, "read-only", false, "Never commit what this builder builds")
	f.StringVar(&o.config, "config", "", "buildkitd configuration file with mirrors, registries, DNS, …")
	f.BoolVar(&o.noUse, "no-use", false, "Do not make the builder current")
	f.StringVar(&o.buildkitd, "buildkitd", "", "buildkitd to run (default: the one on PATH)")
	f.DurationVar(&o.readyTimeout, "ready-timeout", 30*time.Second, "How long buildkitd may take to start")
	display.AddFlag(cmd, &o.progress)
	o.output.AddTo(cmd, "Print only the builder's name")
	_ = cmd.RegisterFlagCompletionFunc("disk", cobra.FixedCompletions([]string{"dir:"}, cobra.ShellCompDirectiveNoSpace))
	_ = cmd.RegisterFlagCompletionFunc("config", cobra.FixedCompletions([]string{"toml"}, cobra.ShellCompDirectiveFilterFileExt))
	_ = cmd.RegisterFlagCompletionFunc("key", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("ready-timeout", cobra.NoFileCompletions)
	return cmd
}

func runUp(ctx context.Context, dockerCLI command.Cli, o upOptions) error {
	if err := o.output.Validate(); err != nil {
		return cliplugin.Usage(err)
	}
	if o.readyTimeout <= 0 {
		return cliplugin.Usage(fmt.Errorf("--ready-timeout must be more than 0"))
	}
	h, err := host()
	if err != nil {
		return err
	}
	up, err := o.resolve(ctx, dockerCLI, h)
	if err != nil {
		return err
	}
	show, err := display.New(os.Stderr, o.progress, "bringing up "+o.name)
	if err != nil {
		return cliplugin.Usage(err)
	}
	result, err := h.Up(ctx, up, show)
	if closeErr := show.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	for _, n := range result.Notes {
		note(dockerCLI, "%s", n)
	}
	o.tellEnvironment(dockerCLI, up, result)
	return o.output.Print(dockerCLI.Out(), result.Name, result, func(w io.Writer) error { return upTable(w, result) })
}

// resolve turns flags and environment into what the domain takes.
func (o upOptions) resolve(ctx context.Context, dockerCLI command.Cli, h sticky.Host) (sticky.UpOptions, error) {
	up := sticky.UpOptions{
		Name: o.name, Key: o.key, ReadOnly: o.readOnly, Buildkitd: o.buildkitd, ReadyTimeout: o.readyTimeout,
		Platform:    runtime.GOOS + "/" + runtime.GOARCH,
		DefaultDisk: defaultDisk(h),
	}
	if o.disk != "" {
		var err error
		if up.Disk, err = diskSpec(o.disk); err != nil {
			return up, err
		}
	}
	if o.key != "" {
		if err := disk.CheckKey(o.key); err != nil {
			return up, cliplugin.Usage(err)
		}
	} else {
		dir, err := os.Getwd()
		if err != nil {
			return up, fault.Hint(fmt.Errorf("looking for the working directory: %w", err), "name a key with --key")
		}
		up.DefaultKey = disk.CleanKey(defaultKey(ctx, dir))
	}
	var err error
	if o.config != "" {
		if up.Config, err = filepath.Abs(o.config); err != nil {
			return up, err
		}
		if up.ConfigText, err = os.ReadFile(up.Config); err != nil {
			return up, fmt.Errorf("reading buildkitd configuration: %w", err)
		}
	}
	storeDir, err := filepath.Abs(confutil.NewConfig(dockerCLI).Dir())
	if err != nil {
		return up, err
	}
	if up.Store, err = builderstore.Open(storeDir); err != nil {
		return up, err
	}
	contexts, err := dockerCLI.ContextStore().List()
	if err != nil {
		return up, fmt.Errorf("listing docker contexts: %w", err)
	}
	for _, c := range contexts {
		up.Reserved = append(up.Reserved, c.Name)
	}
	if o.noUse {
		return up, nil
	}
	key, err := buildkit.CurrentKey(dockerCLI)
	if err != nil {
		return up, err
	}
	up.Use = &key
	if path := os.Getenv("GITHUB_ENV"); path != "" {
		up.EnvFile = &instance.EnvFile{Path: path}
		// A former job of that name may have left its own.
		if previous := os.Getenv("BUILDX_BUILDER"); previous != o.name {
			up.EnvFile.Previous = previous
		}
	}
	return up, nil
}

func defaultDisk(h sticky.Host) string { return "dir:" + filepath.Join(string(h.State), "pool") }

// diskSpec is the value of --disk with an absolute path.
func diskSpec(value string) (string, error) {
	spec, err := disk.ParseSpec(value)
	if err != nil {
		return "", cliplugin.Usage(err)
	}
	if spec.Path, err = filepath.Abs(spec.Path); err != nil {
		return "", err
	}
	return spec.String(), nil
}

// tellEnvironment says how builds find the builder.
func (o upOptions) tellEnvironment(dockerCLI command.Cli, up sticky.UpOptions, result *sticky.Upped) {
	other := os.Getenv("BUILDX_BUILDER")
	switch {
	case result.State == sticky.StateRunning || other == result.Name:
	case up.EnvFile != nil:
		note(dockerCLI, "later steps of this job use the builder: BUILDX_BUILDER=%s was written to $GITHUB_ENV", result.Name)
	case o.noUse:
		note(dockerCLI, "use the builder by docker buildx build --builder %s, or export BUILDX_BUILDER=%s", result.Name, result.Name)
	case other != "":
		note(dockerCLI, "BUILDX_BUILDER=%s is set and comes before the current builder: export BUILDX_BUILDER=%s", other, result.Name)
	default:
		note(dockerCLI, "docker buildx and docker compose use the builder now; for plain docker build: export BUILDX_BUILDER=%s", result.Name)
	}
}

func upTable(w io.Writer, u *sticky.Upped) error {
	from := u.Generation
	if from == "" {
		from = "-"
	}
	clone := fmt.Sprintf("%s, %d ms", u.Clone.Method, u.Clone.Milliseconds)
	for _, row := range [][2]string{
		{"NAME", u.Name},
		{"ENDPOINT", u.Endpoint},
		{"DISK", u.Disk},
		{"KEY", u.Key},
		{"GENERATION", from},
		{"CACHE", u.Cache},
		{"CLONE", clone},
		{"READY", fmt.Sprintf("%d ms", u.ReadyMillis)},
	} {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}

// explainRoot is shown where root is needed to look at a builder.
func explainRoot(err error) error {
	if os.IsPermission(err) {
		return fault.Hint(err, "run it as the user that brought the builder up, usually root")
	}
	return err
}
