package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/docker/buildx/util/confutil"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/opts"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
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
	ref          string
	fallback     []string
	readOnly     bool
	keep         int
	maxSize      opts.MemBytes
	envFile      string
	config       string
	noUse        bool
	buildkitd    string
	readyTimeout time.Duration
	watchPID     string
	degradedOK   bool
	driver       driverFlags
	progress     string
	output       render.Flags

	changed func(flag string) bool // whether the user gave it
}

func newUpCmd(dockerCLI command.Cli) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up [OPTIONS] [NAME]",
		Short: "Bring a builder up on a clone of its disk",
		Long: `Clone the head of a disk, start buildkitd on the clone, and make it the current
builder of docker buildx, under NAME ("sticky" if none is given). The builder
lives on when the command has ended, until "docker stickybuilder down".

A disk is a pool of generations, --disk dir:PATH, or has its home in a repository of
any OCI registry, --disk oci:REGISTRY/REPO: then a machine that has nothing yet is warm
as well, and only what has changed is transferred. The credentials are those of
docker login. The clone shares its blocks with the head. On btrfs it is a snapshot, which
takes no time; elsewhere a new pool makes itself a btrfs in one sparse file, for which
it needs mkfs.btrfs and a free loop device. Without these it is made file by file, and
where the filesystem cannot share blocks either, it is a copy, and up says so.

With --disk volume:NAME, the state is in a volume of the docker engine, which is made if
there is none. It is for engines that are not on this machine, and needs no root here: the
engine of the current docker context runs buildkitd, by the docker-container driver. A
volume has no generations: what is built stays in it, whatever "down" decides about the
builds, one builder at a time can use it, and it cannot be read-only. The decision is
"keep". Its databases are checked before each use; one that is not sound is repaired, or
removed and made anew. What no "up" has made, such as the volume of a builder of docker
buildx, is used as well, but never removed.

With --disk none there is no disk: the builder begins empty, in the state directory, and
what it has built goes with it. The report tells what was built all the same.

Jobs with the same --key and --ref share a disk. By default the key is the
repository and the ref its branch, or of a pull request the branch that it comes
from, as the CI system or git tells; with --ref "" all branches share one. The
first job of a branch clones a fallback: what --fallback names, else the branch that
a pull request is to be merged to, else the default branch. What it builds is
committed to its own disk.

  --fallback KEY         a key, with the own ref, a base branch, or none
  --fallback KEY@REF     one disk
  --fallback @REF        one ref of the own key
  --fallback ""          no fallback: begin empty

A pull request from a fork may be anybody's. Its builder is read-only unless you say
--read-only=false, also where the workflow runs with the rights of the repository
(pull_request_target, workflow_run, a comment) and where the event does not tell. So
say GitHub, Gitea, Forgejo and GitLab, Azure Pipelines, Buildkite, CircleCI, Jenkins
and Travis CI; elsewhere say --read-only yourself.

The disk is bounded by --max-size: while builds go on by BuildKit's garbage
collection, and before a commit by pruning what was not used for the longest time.
Cache mounts are kept as long as they fit and are used once a month. Settings about
garbage collection in --config win. When less than 20 % of the pool's filesystem is
free, "up" and "down" warn; below 5 % all generations beside the heads are given up.

With --driver auto, a buildkitd on PATH runs as a process of this machine; where there
is none, docker buildx has the docker engine run one in a container, by its driver of
that name, on the same disk. Jobs may change the driver from one to the next. The
engine has to be on this machine, and the container is privileged. Either way the
command has to run as root, because the files on the disk are root's. Builds may ask
for no entitlement unless you allow it.

With --driver remote, builds run on somebody else's buildkitd at --endpoint. It is
registered with buildx as by "docker buildx create --driver remote", and followed from
here: status, report and the decision of "down" tell of its builds. The daemon is never
stopped, pruned or changed, nothing is kept of it, and no root is needed. All builds that
it begins while the builder is up count as the job's, also those of others.

If the CI runner above this command dies without "down" (GitHub, Gitea, Forgejo, Azure
Pipelines, GitLab, Buildkite and others are known by the names of their processes, and
--watch-pid names any other process), the builder ends by itself: builds may go on for
30 s, then its disk is committed or discarded as by "down". The decision is shown by
"status" and by the next "up", "down" or "recover".

If there can be no builder, the command fails. With --degraded-ok it warns and succeeds,
with "mode": "degraded" and the reason in the result. On GitHub the step's outputs are
mode (sticky or degraded), reason, name, driver, endpoint, cache (warm, cold or empty) and
generation, and a degraded job says so in its summary and in an annotation.

Before anything is changed, up looks whether the machine has what it takes: 64 MiB and
256 inodes for the disk, and for buildkitd as a process that overlayfs can be mounted
there. Without overlayfs BuildKit would copy all of a layer's parents into each layer;
to have that nevertheless, name the snapshotter in --config.

The clone's databases are checked before buildkitd starts on it, and buildkitd then
makes, or finds, an empty directory before the builder is called ready. If a
generation is not sound, up recovers by itself, says so, and lists it as "recovered"
in its JSON: it repairs the clone, which costs the history of builds or one cold build;
or it marks the generation as bad, so that no job clones it again, and begins with the
nearest sound one; or at last with an empty disk. A generation on which buildkitd does
not start is blamed only if buildkitd starts on an empty disk.

A builder that is up already is left as it is, and described again; one that is there for
another job, whose CI runner is another process, is refused: give each a NAME.

"docker build" does not follow the current builder but BUILDX_BUILDER: that is
written to --env-file or $GITHUB_ENV where there is one, else the command to set it
is shown. Lines of a shell script read the file by ". FILE"; on GitLab it can also
be a dotenv report, for later jobs of the pipeline that run on the same machine.
"down" sets the variable back in the same place.

The clone, logs and sockets are in $XDG_STATE_HOME/docker-stickybuilder, by
default ~/.local/state/docker-stickybuilder.` + cliplugin.ExitStatusHelp(""),
		Example: `  # Bring up the default builder, with a disk for this repository and branch
  docker stickybuilder up

  # Use a pool elsewhere, and do not keep what is built
  docker stickybuilder up --disk dir:/mnt/cache --read-only

  # A disk in a registry, for runners that come and go
  docker stickybuilder up --disk oci:ghcr.io/acme/disks

  # On the engine of another machine, with a volume there
  docker --context build1 stickybuilder up --disk volume:buildcache

  # A disk for the nightly builds alone that begins with what the branch has
  docker stickybuilder up --key acme/app-nightly --fallback acme/app

  # In a GitLab job
  docker stickybuilder up --env-file builder.env && . ./builder.env && export BUILDX_BUILDER

  # In a container, with the image of your choice
  docker stickybuilder up --driver docker-container --driver-opt image=moby/buildkit:v0.33.0

  # On a buildkitd of another machine
  docker stickybuilder up --driver remote --endpoint tcp://builds.example:1234 \
    --driver-opt cacert=ca.pem --driver-opt cert=cert.pem --driver-opt key=key.pem

  # In a script whose end is to be the builder's
  docker stickybuilder up --watch-pid $$

  # A second builder beside the first, with registry mirrors of its own
  docker stickybuilder up --config buildkitd.toml --no-use nightly`,
		Args:              maxOneName,
		ValidArgsFunction: completeNames,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.name, err = nameArg(args); err != nil {
				return err
			}
			o.changed = cmd.Flags().Changed
			return runUp(cmd.Context(), dockerCLI, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.disk, "disk", "", `Disk to clone, "dir:PATH" or "oci:REGISTRY/REPO"; "volume:NAME" or "none" (default: the pool in the state directory)`)
	f.StringVar(&o.key, "key", "", "What jobs share a disk by, with the ref (default: the repository)")
	f.StringVar(&o.ref, "ref", "", "Branch, tag or pull request (default: the one that is built)")
	f.StringArrayVar(&o.fallback, "fallback", nil, "What to clone if the disk is new: KEY, KEY@REF or @REF (repeatable; default: the base and the default branch)")
	f.BoolVar(&o.readOnly, "read-only", false, "Never commit what this builder builds (default: for pull requests from forks)")
	_ = o.maxSize.Set("50GB")
	f.Var(&o.maxSize, "max-size", "Bound of what the disk holds, such as 50GB; 0 for none")
	f.IntVar(&o.keep, "keep", 3, "Generations of the disk to keep, the head among them")
	f.StringVar(&o.config, "config", "", "buildkitd configuration file with mirrors, registries, DNS, …")
	f.StringVar(&o.envFile, "env-file", "", "File to write BUILDX_BUILDER=NAME to (default: $GITHUB_ENV, if set)")
	o.driver.addTo(cmd)
	addWatchFlag(cmd, &o.watchPID)
	f.BoolVar(&o.degradedOK, "degraded-ok", false, "Succeed without a builder if it cannot be had, and say so")
	f.BoolVar(&o.noUse, "no-use", false, "Do not make the builder current")
	f.StringVar(&o.buildkitd, "buildkitd", "", "buildkitd to run (default: the one on PATH)")
	f.DurationVar(&o.readyTimeout, "ready-timeout", 30*time.Second, "How long buildkitd may take to start")
	display.AddFlag(cmd, &o.progress)
	o.output.AddTo(cmd, "Print only the builder's name")
	_ = cmd.RegisterFlagCompletionFunc("disk", cobra.FixedCompletions(allDisks, cobra.ShellCompDirectiveNoSpace))
	_ = cmd.RegisterFlagCompletionFunc("config", cobra.FixedCompletions([]string{"toml"}, cobra.ShellCompDirectiveFilterFileExt))
	o.completeLineages(cmd)
	_ = cmd.RegisterFlagCompletionFunc("max-size", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("keep", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("ready-timeout", cobra.NoFileCompletions)
	return cmd
}

// minSize is what is left of no disk when everything is pruned.
const minSize = 16 << 20

func runUp(ctx context.Context, dockerCLI command.Cli, o upOptions) error {
	if err := o.output.Validate(sticky.Upped{}); err != nil {
		return cliplugin.Usage(err)
	}
	if o.readyTimeout <= 0 {
		return cliplugin.Usage(fmt.Errorf("--ready-timeout must be more than 0"))
	}
	if n := o.maxSize.Value(); n != 0 && n < minSize {
		return cliplugin.Usage(fmt.Errorf("--max-size must be at least %d MiB, or 0 for no bound", minSize>>20))
	}
	if o.keep < 1 {
		return cliplugin.Usage(errors.New("--keep must be at least 1"))
	}
	up, result, err := o.bringUp(ctx, dockerCLI)
	if err != nil {
		if result = o.degraded(ctx, dockerCLI, err); result == nil {
			return err
		}
	}
	for _, n := range result.Notes {
		note(dockerCLI, "%s", n)
	}
	if result.Because != "" {
		note(dockerCLI, "read-only, since %s; nothing will be committed: to do so nevertheless, bring it up with --read-only=false", result.Because)
	}
	if err := o.announce(result); err != nil {
		note(dockerCLI, "%v", err)
	}
	if result.Mode == sticky.ModeDegraded {
		if o.output.Quiet {
			return nil
		}
	} else {
		o.tellEnvironment(dockerCLI, up, result)
	}
	return o.output.Print(dockerCLI.Out(), result.Name, result, func(w io.Writer) error { return upTable(w, result) })
}

func (o upOptions) bringUp(ctx context.Context, dockerCLI command.Cli) (up sticky.UpOptions, result *sticky.Upped, err error) {
	h, err := host()
	if err != nil {
		return up, nil, err
	}
	if up, err = o.resolve(ctx, dockerCLI, h); err != nil {
		return up, nil, err
	}
	show, err := display.New(os.Stderr, o.progress, "bringing up "+o.name)
	if err != nil {
		return up, nil, cliplugin.Usage(err)
	}
	result, err = h.Up(ctx, up, show)
	if closeErr := show.Close(); err == nil {
		err = closeErr
	}
	return up, result, err
}

// resolve turns flags and environment into what the domain takes.
func (o upOptions) resolve(ctx context.Context, dockerCLI command.Cli, h sticky.Host) (sticky.UpOptions, error) {
	up := sticky.UpOptions{
		Name: o.name, Key: o.key, ReadOnly: o.readOnly, Keep: o.keep, Buildkitd: o.buildkitd, ReadyTimeout: o.readyTimeout,
		Platform:    runtime.GOOS + "/" + runtime.GOARCH,
		DefaultDisk: defaultDisk(h),
	}
	if o.disk != "" {
		var err error
		if up.Disk, err = diskSpec(o.disk); err != nil {
			return up, err
		}
	}
	if o.changed("max-size") {
		n := o.maxSize.Value()
		up.MaxBytes = &n
	}
	if err := o.driver.resolve(dockerCLI, &up); err != nil {
		return up, err
	}
	if err := o.checkFlags(up); err != nil {
		return up, cliplugin.Usage(err)
	}
	if isVolume(up.Disk) {
		var err error
		if up.EngineName, err = engineName(dockerCLI); err != nil {
			return up, err
		}
	}
	if err := watch(o.watchPID, &up); err != nil {
		return up, err
	}
	if err := o.lineage(ctx, &up); err != nil {
		return up, err
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
	up.EnvFile, err = o.environment()
	if o.noUse || err != nil {
		return up, err
	}
	key, err := buildkit.CurrentKey(dockerCLI)
	if err != nil {
		return up, err
	}
	up.Use = &key
	return up, nil
}

func upTable(w io.Writer, u *sticky.Upped) error {
	if u.Mode == sticky.ModeDegraded {
		_, err := fmt.Fprintf(w, "MODE\t%s\nREASON\t%s\n", u.Mode, u.Reason)
		return err
	}
	from := u.Generation
	if from == "" {
		from = "-"
	}
	cache := u.Cache
	if u.Origin != "" {
		cache += ", from the fallback " + u.Origin
	}
	clone := fmt.Sprintf("%s, %d ms", u.Clone.Method, u.Clone.Milliseconds)
	for _, row := range [][2]string{
		{"MODE", u.Mode},
		{"NAME", u.Name},
		{"DRIVER", u.Driver},
		{"ENDPOINT", u.Endpoint},
		{"DISK", u.Disk},
		{"KEY", u.Key},
		{"REF", dash(u.Ref)},
		{"GENERATION", from},
		{"CACHE", dash(cache)},
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
