package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

func newDiskLsCmd(dockerCLI command.Cli) *cobra.Command {
	var f choiceFlags
	var output render.Flags
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List the disks of a pool",
		Long: `List the disks of a pool, one line for each key, ref and platform, and after them the
working copies that jobs have made of them. A copy that is "stale" belongs to a job
that died: "disk gc" or the next "up" removes it.

SIZE counts the files of every generation in full. On btrfs and xfs generations
share what they have in common, and take up less. WORK is how long the steps took
that the head's own job has computed.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stickybuilder disk ls
  docker stickybuilder disk ls --disk dir:/mnt/cache --format '{{.Key}} {{.Head}}'`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explainRoot(runDiskLs(cmd.Context(), dockerCLI, f, output))
		},
	}
	f.add(cmd, "List only this key", "List only this branch, tag or pull request")
	output.AddTo(cmd, "Print only keys")
	return cmd
}

func runDiskLs(ctx context.Context, dockerCLI command.Cli, f choiceFlags, output render.Flags) error {
	if err := output.Validate(sticky.Listed{}); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	spec, err := f.spec(h)
	if err != nil {
		return err
	}
	all, err := h.ListDisk(ctx, spec, f.filter())
	if err != nil {
		return err
	}
	var keys []string
	var copies []disk.Copy
	for _, l := range all {
		if !slices.Contains(keys, l.Key) && l.Key != "" {
			keys = append(keys, l.Key)
		}
		copies = append(copies, l.Copies...)
	}
	if output.Quiet && len(keys) == 0 {
		return nil
	}
	return output.Print(dockerCLI.Out(), strings.Join(keys, "\n"), all, func(w io.Writer) error {
		if err := listTable(w, all, h.Now()); err != nil || len(copies) == 0 {
			return err
		}
		if err := statusLine(w); err != nil {
			return err
		}
		return copiesTable(w, copies, h.Now())
	})
}

func listTable(w io.Writer, all []sticky.Listed, now time.Time) error {
	if err := statusLine(w, "KEY", "REF", "PLATFORM", "HEAD", "GENERATIONS", "SIZE", "AGE", "WORK", "COPIES"); err != nil {
		return err
	}
	for _, l := range all {
		count := fmt.Sprint(l.Generations)
		if l.Bad > 0 {
			count += fmt.Sprintf(" (%d bad)", l.Bad)
		}
		if err := statusLine(w, dash(l.Key), dash(l.Ref), dash(l.Platform), dash(l.Head), count, size(l.Bytes), age(l.Committed, now), work(l.WorkSeconds), fmt.Sprint(len(l.Copies))); err != nil {
			return err
		}
	}
	return nil
}

func copiesTable(w io.Writer, copies []disk.Copy, now time.Time) error {
	if err := statusLine(w, "COPY", "STATE", "PARENT", "AGE", "KEY", "REF"); err != nil {
		return err
	}
	for _, c := range copies {
		state := "stale"
		if c.InUse {
			state = "in use"
		}
		if err := statusLine(w, c.ID, state, dash(c.Parent), age(c.Created, now), dash(c.Lineage.Key), dash(c.Lineage.Ref)); err != nil {
			return err
		}
	}
	return nil
}

func age(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return units.HumanDuration(now.Sub(since))
}

// work shows seconds of computing, "-" if there was none or it is not known.
func work(seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", seconds)
}
