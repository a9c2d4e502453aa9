package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type commitOptions struct {
	name     string
	commit   string
	force    bool
	conflict string
	pause    time.Duration
	progress string
	output   render.Flags
}

func newCommitCmd(dockerCLI command.Cli) *cobra.Command {
	var o commitOptions
	cmd := &cobra.Command{
		Use:   "commit [OPTIONS] [NAME]",
		Short: "Commit what a builder has built so far, while builds go on",
		Long: `Make a checkpoint: commit what the builder's disk holds now as the disk's next
generation, if --commit says so. The builder goes on, and "down" commits what is
built after that on top of it. Whatever happens later in the job, a test that fails or
a machine that dies, does not cost what is in the checkpoint.

The policies are those of "down", asked about the builds so far; builds under way are no
part of the decision. What they have done by now is in the checkpoint as far as
BuildKit has finished it: the next job finds the steps that were complete.

The disk is copied at one moment, for which buildkitd and its builds stand still: a few
milliseconds on btrfs, which is also what a pool makes itself in a file. Where files
are copied one by one, it takes longer; after --max-pause they go on, and nothing is
committed. The copy is checked as "down" checks the disk, and then committed, or
uploaded, while builds go on.

Not to commit is no error: the decision is "decline" then, and the reason says why.` + cliplugin.ExitStatusHelp(""),
		Example: `  # After the build and before the tests
  docker stickybuilder commit

  # Now, even if a build has failed
  docker stickybuilder commit --force`,
		Args:              maxOneName,
		ValidArgsFunction: completeNames,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.name, err = nameArg(args); err != nil {
				return err
			}
			if o.force && cmd.Flags().Changed("commit") {
				return cliplugin.Usage(errors.New("--force and --commit exclude each other: --force means --commit always"))
			}
			return runCommit(cmd.Context(), dockerCLI, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.commit, "commit", string(history.Auto), "When to commit: auto, all-ok, any-ok, no-crash, always, never")
	f.BoolVarP(&o.force, "force", "f", false, "Commit whatever was built, as --commit always")
	f.StringVar(&o.conflict, "on-conflict", string(sticky.KeepRicher), "Who is the head if another job has committed: keep-richer, last, first")
	f.DurationVar(&o.pause, "max-pause", time.Second, "How long builds may stand still")
	display.AddFlag(cmd, &o.progress)
	o.output.AddTo(cmd, "Print only the id of the new generation")
	_ = cmd.RegisterFlagCompletionFunc("commit", cobra.FixedCompletions(history.Policies, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("on-conflict", cobra.FixedCompletions(sticky.ConflictPolicies, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("max-pause", cobra.NoFileCompletions)
	return cmd
}

func runCommit(ctx context.Context, dockerCLI command.Cli, o commitOptions) error {
	if o.force {
		o.commit = string(history.Always)
	}
	policy, err := history.ParsePolicy(o.commit)
	if err != nil {
		return cliplugin.Usage(err)
	}
	conflict, err := sticky.ParseConflictPolicy(o.conflict)
	if err != nil {
		return cliplugin.Usage(err)
	}
	if err := o.output.Validate(sticky.Committal{}); err != nil {
		return cliplugin.Usage(err)
	}
	if o.pause <= 0 {
		return cliplugin.Usage(errors.New("--max-pause must be more than 0"))
	}
	h, err := host()
	if err != nil {
		return err
	}
	show, err := display.New(os.Stderr, o.progress, "committing "+o.name)
	if err != nil {
		return cliplugin.Usage(err)
	}
	c, err := h.Commit(ctx, sticky.CommitOptions{Name: o.name, Policy: policy, OnConflict: conflict, MaxPause: o.pause}, show)
	_ = show.Close()
	if c == nil {
		return explainRoot(err)
	}
	if o.output.Quiet && c.Generation == "" {
		return err
	}
	return errors.Join(err, o.output.Print(dockerCLI.Out(), c.Generation, c, func(w io.Writer) error { return committalTable(w, c) }))
}

func committalTable(w io.Writer, c *sticky.Committal) error {
	for _, row := range [][]string{
		{"DECISION", fmt.Sprintf("%s: %s", c.Decision, c.Reason)},
		{"GENERATION", dash(c.Generation)},
		{"HEAD", dash(c.Head)},
		{"PAUSE", fmt.Sprintf("%d ms", c.PauseMilliseconds)},
	} {
		if err := statusLine(w, row...); err != nil {
			return err
		}
	}
	return nil
}

// checkpoints names the last one, and how many there are.
func checkpoints(all []instance.Checkpoint) string {
	switch n := len(all); n {
	case 0:
		return "-"
	case 1:
		return all[0].Generation
	default:
		return fmt.Sprintf("%s, the last of %d", all[n-1].Generation, n)
	}
}
