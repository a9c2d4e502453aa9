package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/metrics"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/summary"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

// Formats of report besides those that all commands have.
const (
	formatMarkdown   = "markdown"
	formatPrometheus = "prometheus"
)

type reportOptions struct {
	name   string
	last   int
	all    bool
	file   string
	output render.Flags

	listed bool // several were asked for
}

func newReportCmd(dockerCLI command.Cli) *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report [OPTIONS] [NAME]",
		Short: "Report what was built, and what became of the disk",
		Long: `Report what a builder has built and what became of its disk: of the builder that is
up, so far, or else of the last one of that NAME. Of each build: outcome, steps, how
many of them came from the cache, and seconds; of the disk: where it came from and
how old that was, what it took to fetch, to check and to commit it, in bytes and
milliseconds, and the decision with its reason.

Reports of the last 20 builders of a NAME are kept: --last 5 and --all list them, the
newest first.

  table       for people
  json        everything; fields may be added, none is renamed or removed
  markdown    for the summary of a CI job; down appends it to $GITHUB_STEP_SUMMARY
              by itself
  prometheus  metrics in the text exposition format, for the textfile collector of
              node_exporter or for a push gateway: gauges of one run, in seconds and
              bytes, with builder, key and ref as labels

With --output the file is replaced at once, so that nobody ever reads half of it.` + cliplugin.ExitStatusHelp("there is and was no builder NAME"),
		Example: `  docker stickybuilder report
  docker stickybuilder report --all --format '{{.Started}} {{.Decision}} {{.Summary.CachedSteps}}/{{.Summary.TotalSteps}}'

  # For node_exporter --collector.textfile.directory
  docker stickybuilder report --format prometheus --output /var/lib/node_exporter/stickybuilder.prom

  # In a GitLab job, for a comment on the merge request
  docker stickybuilder report --format markdown --output summary.md`,
		Args:              maxOneName,
		ValidArgsFunction: completeReported,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.name, err = nameArg(args); err != nil {
				return err
			}
			last := cmd.Flags().Changed("last")
			if o.all && last {
				return cliplugin.Usage(errors.New("--last and --all exclude each other"))
			}
			o.listed = o.all || last
			return explainRoot(runReport(dockerCLI, o))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.output.Format, "format", "table", `Format of the output: "table", "json", "markdown", "prometheus", or a Go template`)
	f.BoolVarP(&o.output.Quiet, "quiet", "q", false, "Print only the decision")
	f.IntVar(&o.last, "last", 1, "List that many reports, the newest first")
	f.BoolVar(&o.all, "all", false, "List all reports that are kept")
	f.StringVarP(&o.file, "output", "o", "", "File to write to instead of stdout")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "json", formatMarkdown, formatPrometheus}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("last", cobra.NoFileCompletions)
	return cmd
}

func (o reportOptions) check() error {
	if o.last < 1 {
		return errors.New("--last must be at least 1")
	}
	switch o.output.Format {
	case formatPrometheus:
		if o.listed {
			return errors.New("--format prometheus is about one run: leave out --last and --all")
		}
		return nil
	case formatMarkdown:
		return nil
	}
	return o.output.Validate(sticky.Report{})
}

func runReport(dockerCLI command.Cli, o reportOptions) error {
	if err := o.check(); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	limit := o.last
	if o.all {
		limit = 0
	}
	reports, err := h.Reports(o.name, limit)
	if err != nil {
		return err
	}
	if len(reports) == 0 {
		return cliplugin.Negative(fault.Hint(fmt.Errorf("there is and was no builder %s", o.name), "bring it up: docker stickybuilder up %s", o.name))
	}
	if o.file == "" {
		return o.write(dockerCLI.Out(), reports)
	}
	var b bytes.Buffer
	if err := o.write(&b, reports); err != nil {
		return err
	}
	return replaceFile(o.file, b.Bytes())
}

// replaceFile writes a file that others may read while it is replaced.
func replaceFile(path string, data []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return cliplugin.Usage(fmt.Errorf("--output %s: it is there, and is not a regular file", path))
	}
	if err := durable.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (o reportOptions) write(w io.Writer, reports []sticky.Report) error {
	switch {
	case o.output.Quiet:
	case o.output.Format == formatPrometheus:
		return metrics.Write(w, &reports[0])
	case o.output.Format == formatMarkdown:
		for i := range reports {
			if err := summary.Markdown(w, &reports[i], summary.MaxBytes); err != nil {
				return err
			}
		}
		return nil
	}
	var decisions []string
	for _, r := range reports {
		decisions = append(decisions, string(r.Decision))
	}
	var data any = reports
	table := func(w io.Writer) error { return reportsTable(w, reports) }
	if !o.listed {
		data, table = reports[0], func(w io.Writer) error { return wholeReport(w, &reports[0]) }
	}
	return o.output.Print(w, strings.Join(decisions, "\n"), data, table)
}

// wholeReport is the table of one report.
func wholeReport(w io.Writer, r *sticky.Report) error {
	if err := buildsTable(w, r.Builds); err != nil {
		return err
	}
	for _, f := range summary.Facts(r) {
		if err := statusLine(w, strings.ToUpper(f.Label), f.Text); err != nil {
			return err
		}
	}
	return nil
}

// reportsTable has one line for each report.
func reportsTable(w io.Writer, reports []sticky.Report) error {
	if err := statusLine(w, "STARTED", "DECISION", "BUILDS", "CACHED", "SECONDS", "CLONE", "COMMIT", "SENT", "GENERATION", "REASON"); err != nil {
		return err
	}
	for _, r := range reports {
		seconds := 0.0
		for _, b := range r.Builds {
			seconds += b.Seconds
		}
		err := statusLine(w, r.Started.Format("2006-01-02T15:04:05Z"), string(r.Decision), fmt.Sprintf("%d of %d ok", r.Summary.OK, r.Summary.Total()),
			fmt.Sprintf("%d/%d", r.Summary.CachedSteps, r.Summary.TotalSteps), fmt.Sprintf("%.1f", seconds),
			fmt.Sprintf("%d ms", r.Clone.Milliseconds), fmt.Sprintf("%d ms", r.CommitMillis),
			units.HumanSizeWithPrecision(float64(r.Commit.SentBytes), 3), dash(r.Generation), r.Reason)
		if err != nil {
			return err
		}
	}
	return nil
}

// completeReported completes the names of builders that are or were up.
func completeReported(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	names, directive := completeNames(cmd, args, toComplete)
	state, err := stateDir()
	if err != nil || len(args) > 0 {
		return nil, directive
	}
	reported, _ := state.Reported()
	names = append(names, reported...)
	slices.Sort(names)
	return slices.Compact(names), directive
}
