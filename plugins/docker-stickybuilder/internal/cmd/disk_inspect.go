package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

func newDiskInspectCmd(dockerCLI command.Cli) *cobra.Command {
	var f choiceFlags
	var output render.Flags
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] [GENERATION]",
		Short: "Show a disk's generations, or one generation with its ancestors",
		Long: `Show the generations of a disk, the newest first: when and by which builder each was
written, the builds of that job and how long the steps took that it has computed,
BuildKit's version, and the generation that it is a clone of, which the first one of
a branch has from another disk. With GENERATION, show that one and its ancestors.

Of a docker volume, which has no generations, show whose it is, and who uses it.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stickybuilder disk inspect --key acme/app --ref main
  docker stickybuilder disk inspect 20260102T030405Z-0123456789ab --format json
  docker stickybuilder disk inspect --disk volume:buildcache`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: f.completeGenerations(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return explainRoot(runDiskInspect(cmd.Context(), dockerCLI, f, output, args))
		},
	}
	f.add(cmd, keyDefault, refDefault)
	output.AddTo(cmd, "Print only the id of the head, or of the generation")
	return cmd
}

func runDiskInspect(ctx context.Context, dockerCLI command.Cli, f choiceFlags, output render.Flags, args []string) error {
	if isVolume(f.disk) {
		return inspectVolume(ctx, dockerCLI, f, output, args)
	}
	if err := output.Validate(sticky.Inspected{}); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	o, err := f.choice(ctx, h, args)
	if err != nil {
		return err
	}
	found, err := h.InspectDisk(ctx, o)
	if err != nil {
		return err
	}
	id := found.Head
	if o.Generation != "" {
		id = o.Generation
	}
	if output.Quiet && id == "" {
		return nil
	}
	return output.Print(dockerCLI.Out(), id, found, func(w io.Writer) error {
		if o.Generation != "" {
			return generationTable(w, found, h.Now())
		}
		return generationsTable(w, found, h.Now())
	})
}

func generationsTable(w io.Writer, in *sticky.Inspected, now time.Time) error {
	if err := statusLine(w, "GENERATION", "STATE", "PARENT", "AGE", "SIZE", "BUILDS", "CACHED", "WORK", "BUILDKIT", "BUILDER"); err != nil {
		return err
	}
	for _, g := range in.Generations {
		if err := statusLine(w, g.ID, standing(g.Record), parent(g), age(g.Created, now), size(g.Bytes), builds(g),
			fmt.Sprintf("%d/%d", g.Builds.CachedSteps, g.Builds.TotalSteps), work(g.Work.Seconds()), dash(g.BuildkitVersion), dash(g.Builder)); err != nil {
			return err
		}
	}
	if len(in.Copies) == 0 {
		return nil
	}
	if err := statusLine(w); err != nil {
		return err
	}
	return copiesTable(w, in.Copies, now)
}

// parent names the generation's parent, with its lineage if that is another.
func parent(g sticky.Sized) string {
	if g.Origin.Name() != "" {
		return g.Parent + " of " + g.Origin.Name()
	}
	return dash(g.Parent)
}

func builds(g sticky.Sized) string {
	return fmt.Sprintf("%d of %d ok", g.Builds.OK, g.Builds.Total())
}

// workOf lists what the generation's job has computed, the most first.
func workOf(w disk.Work) string {
	names := slices.SortedFunc(maps.Keys(w), func(a, b string) int {
		return cmp.Or(cmp.Compare(w[b], w[a]), cmp.Compare(a, b))
	})
	parts := []string{}
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%s %s", dash(n), work(w[n])))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

func generationTable(w io.Writer, in *sticky.Inspected, now time.Time) error {
	g := in.Generations[0]
	state := standing(g.Record)
	if g.Bad != nil {
		state += ": " + g.Bad.Reason
	}
	end := "buildkitd ended when asked"
	if !g.CleanShutdown {
		end = "buildkitd was killed or crashed"
	}
	rows := [][]string{
		{"GENERATION", g.ID},
		{"KEY", in.Key},
		{"REF", dash(in.Ref)},
		{"PLATFORM", in.Platform},
		{"STATE", state},
		{"CREATED", fmt.Sprintf("%s, %s ago", g.Created.Format(time.RFC3339), age(g.Created, now))},
		{"SIZE", size(g.Bytes)},
		{"BUILDS", fmt.Sprintf("%s, %d of %d steps cached", builds(g), g.Builds.CachedSteps, g.Builds.TotalSteps)},
		{"BUILDER", dash(g.Builder)},
		{"BUILDKIT", dash(g.BuildkitVersion) + ", " + end},
		{"PARENT", parent(g)},
		{"WORK", workOf(g.Work)},
	}
	for _, a := range in.Generations[1:] {
		rows = append(rows, []string{"ANCESTOR", fmt.Sprintf("%s, %s, %s ago, %s", a.ID, standing(a.Record), age(a.Created, now), size(a.Bytes))})
	}
	for _, c := range in.Copies {
		rows = append(rows, []string{"COPY", c.ID})
	}
	for _, row := range rows {
		if err := statusLine(w, row...); err != nil {
			return err
		}
	}
	return nil
}

func inspectVolume(ctx context.Context, dockerCLI command.Cli, f choiceFlags, output render.Flags, args []string) error {
	if len(args) > 0 || f.key != "" || f.ref.value != nil || f.platform != "" {
		return cliplugin.Usage(sticky.ErrNoGenerations)
	}
	if err := output.Validate(sticky.VolumeDisk{}); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	spec, err := diskSpec(f.disk)
	if err != nil {
		return err
	}
	engine, err := engineName(dockerCLI)
	if err != nil {
		return err
	}
	v, err := h.InspectVolume(ctx, engine, spec)
	if err != nil {
		return err
	}
	return output.Print(dockerCLI.Out(), v.Disk, v, func(w io.Writer) error {
		owner := "somebody else's: it is never removed"
		if v.Ours {
			owner = "docker stickybuilder's"
		}
		for _, row := range [][]string{
			{"DISK", v.Disk},
			{"ENGINE", v.Engine},
			{"DRIVER", v.Driver},
			{"AGE", age(v.Created, h.Now())},
			{"OWNER", owner},
			{"IN USE", dash(strings.Join(v.InUse, ", "))},
		} {
			if err := statusLine(w, row...); err != nil {
				return err
			}
		}
		return nil
	})
}
