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
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type downOptions struct {
	name     string
	commit   string
	conflict string
	drain    time.Duration
	progress string
	output   render.Flags

	noSummary bool
}

func newDownCmd(dockerCLI command.Cli) *cobra.Command {
	var o downOptions
	cmd := &cobra.Command{
		Use:   "down [OPTIONS] [NAME]",
		Short: "End a builder; commit its disk if the builds deserve it",
		Long: `Wait for builds under way, stop buildkitd, and commit the builder's clone as the
disk's next generation if --commit says so; otherwise discard it. Then make
current the builder that was so before.

What was built and how it ended is told by BuildKit's own history, whichever
client asked for it. A build that was started and never completed, because
buildkitd died, is "lost" and counts as failed.

  auto, all-ok  at least one build, and every one succeeded
  any-ok        at least one build succeeded
  no-crash      at least one build, none lost, and buildkitd lived to the end
  always        whatever happened
  never         discard

Before every commit the databases on the disk are checked from end to end; a disk
that is not sound is discarded.

If another job with the same disk has committed meanwhile, --on-conflict decides
which of the two generations is the head. The other is kept beside it, and listed by
"docker stickybuilder disk inspect"; the decision is "conflict" if that is the new
one.

  keep-richer  the one that spares the next jobs more: the seconds that its builds have
               computed since the generation that both come from, of each name and
               target only what exceeds the usual. At a tie the head stays
  last         this one
  first        the other one

A head that was moved by "disk rollback" or "disk verify --mark" meanwhile stays.

BUILDX_BUILDER is set back in $GITHUB_ENV, or in the --env-file of "up".

What "docker stickybuilder commit" has committed before stays, whatever is decided. So does
what was built on a docker volume: the decision is "keep" then, and its reason says what
--commit would have done with a clone.

Where there is a $GITHUB_STEP_SUMMARY the builds and the decision are appended to it,
as "docker stickybuilder report --format markdown" shows them.

To discard is no error: see the decision and its reason in the output. Without
such a builder there is nothing to do. After a crash of buildkitd, of the
supervisor or of the machine, down cleans up.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stickybuilder down

  # Keep the work of a build whose last step failed
  docker stickybuilder down --commit no-crash

  # For a script: the decision, and how much of each build came from the cache
  docker stickybuilder down --format json`,
		Args:              maxOneName,
		ValidArgsFunction: completeNames,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.name, err = nameArg(args); err != nil {
				return err
			}
			return runDown(cmd.Context(), dockerCLI, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.commit, "commit", string(history.Auto), "When to commit: auto, all-ok, any-ok, no-crash, always, never")
	f.StringVar(&o.conflict, "on-conflict", string(sticky.KeepRicher), "Who is the head if another job has committed: keep-richer, last, first")
	f.DurationVar(&o.drain, "drain-timeout", 30*time.Second, "How long builds under way may go on")
	f.BoolVar(&o.noSummary, "no-summary", false, "Append nothing to $GITHUB_STEP_SUMMARY")
	display.AddFlag(cmd, &o.progress)
	o.output.AddTo(cmd, "Print only the id of the new generation")
	_ = cmd.RegisterFlagCompletionFunc("commit", cobra.FixedCompletions(history.Policies, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("on-conflict", cobra.FixedCompletions(sticky.ConflictPolicies, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("drain-timeout", cobra.NoFileCompletions)
	return cmd
}

func runDown(ctx context.Context, dockerCLI command.Cli, o downOptions) error {
	policy, err := history.ParsePolicy(o.commit)
	if err != nil {
		return cliplugin.Usage(err)
	}
	conflict, err := sticky.ParseConflictPolicy(o.conflict)
	if err != nil {
		return cliplugin.Usage(err)
	}
	if err := o.output.Validate(sticky.Report{}); err != nil {
		return cliplugin.Usage(err)
	}
	if o.drain < 0 {
		return cliplugin.Usage(errors.New("--drain-timeout must not be negative"))
	}
	h, err := host()
	if err != nil {
		return err
	}
	show, err := display.New(os.Stderr, o.progress, "ending "+o.name)
	if err != nil {
		return cliplugin.Usage(err)
	}
	report, err := h.Down(ctx, sticky.DownOptions{Name: o.name, Policy: policy, Drain: o.drain, OnConflict: conflict, EnvFile: os.Getenv("GITHUB_ENV")}, show)
	_ = show.Close()
	if report == nil {
		return explainRoot(err)
	}
	if path := os.Getenv("GITHUB_STEP_SUMMARY"); path != "" && !o.noSummary && report.Decision != sticky.Idle {
		if err := appendSummary(path, report); err != nil {
			note(dockerCLI, "%v", err) // the disk is none the worse for it
		}
	}
	return errors.Join(err, printReport(dockerCLI, o.output, report))
}

func printReport(dockerCLI command.Cli, f render.Flags, r *sticky.Report) error {
	if r.Decision == sticky.Idle {
		note(dockerCLI, "no builder %s is up: nothing to do", r.Name)
	}
	for _, n := range r.Notes {
		note(dockerCLI, "%s", n)
	}
	if f.Quiet && r.Generation == "" {
		return nil
	}
	return f.Print(dockerCLI.Out(), r.Generation, r, func(w io.Writer) error { return reportTable(w, r) })
}

func reportTable(w io.Writer, r *sticky.Report) error {
	if r.Decision == sticky.Idle {
		return nil
	}
	if err := buildsTable(w, r.Builds); err != nil {
		return err
	}
	generation := r.Generation
	if generation == "" {
		generation = "-"
	}
	if len(r.Checkpoints) > 0 {
		fmt.Fprintf(w, "CHECKPOINT\t%s\n", checkpoints(r.Checkpoints))
	}
	_, err := fmt.Fprintf(w, "DECISION\t%s: %s\nGENERATION\t%s\n", r.Decision, r.Reason, generation)
	return err
}

// buildsTable prints one line for each build, and an empty one after the last.
func buildsTable(w io.Writer, builds []history.Build) error {
	if len(builds) == 0 {
		return nil
	}
	fmt.Fprintln(w, "BUILD\tNAME\tTARGET\tOUTCOME\tCACHED\tSECONDS\tERROR")
	for _, b := range builds {
		fmt.Fprintf(w, "%.12s\t%s\t%s\t%s\t%d/%d\t%.1f\t%s\n", b.Ref, dash(b.Name), dash(b.Target), b.Outcome, b.CachedSteps, b.TotalSteps, b.Seconds, b.Error)
	}
	_, err := fmt.Fprintln(w)
	return err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
