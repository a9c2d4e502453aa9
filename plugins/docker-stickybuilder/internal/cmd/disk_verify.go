package cmd

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type diskVerifyOptions struct {
	choiceFlags
	mark     bool
	progress string
	output   render.Flags
}

func newDiskVerifyCmd(dockerCLI command.Cli) *cobra.Command {
	var o diskVerifyOptions
	cmd := &cobra.Command{
		Use:   "verify [OPTIONS] [GENERATION]",
		Short: "Check that a generation is sound",
		Long: `Check a generation, by default the head: read BuildKit's databases from end to end,
and compare them with the files: each snapshot has its directory and its parent,
and each blob is there in full length. What is inside of snapshots is not read:
nothing says what it should be.

With --mark, a generation that is not sound is never cloned again. If it is the
head, the head goes back to the nearest ancestor that is not marked, and if there
is none the next "up" begins with an empty disk.` + cliplugin.ExitStatusHelp("the generation is not sound"),
		Example: `  docker stickybuilder disk verify
  docker stickybuilder disk verify --key acme/app --ref main --mark`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: o.completeGenerations(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return explainRoot(runDiskVerify(cmd.Context(), dockerCLI, o, args))
		},
	}
	o.add(cmd, keyDefault, refDefault)
	cmd.Flags().BoolVar(&o.mark, "mark", false, "Never clone the generation again if it is not sound")
	display.AddFlag(cmd, &o.progress)
	o.output.AddTo(cmd, "Print only the id of the generation")
	return cmd
}

func runDiskVerify(ctx context.Context, dockerCLI command.Cli, o diskVerifyOptions, args []string) error {
	if err := o.output.Validate(sticky.Verdict{}); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	choice, err := o.choice(ctx, h, args)
	if err != nil {
		return err
	}
	show, err := display.New(os.Stderr, o.progress, "verifying")
	if err != nil {
		return cliplugin.Usage(err)
	}
	v, err := h.VerifyDisk(ctx, choice, o.mark, show)
	_ = show.Close()
	if err != nil {
		return err
	}
	if v.Marked {
		note(dockerCLI, "generation %s is marked and never cloned again; the head is %s", v.Generation, dash(v.Head))
	}
	if err := o.output.Print(dockerCLI.Out(), v.Generation, v, func(w io.Writer) error { return verdictTable(w, v) }); err != nil || v.Sound {
		return err
	}
	bad := fmt.Errorf("generation %s is not sound: %s", v.Generation, v.Findings[0])
	if !v.Bad {
		bad = fault.Hint(bad, "keep it from being cloned: docker stickybuilder disk verify --disk %s --mark %s", v.Disk, v.Generation)
	}
	return cliplugin.Negative(bad)
}

func verdictTable(w io.Writer, v *sticky.Verdict) error {
	state := "sound"
	if !v.Sound {
		state = "not sound"
	}
	if v.Bad {
		state += ", marked as bad"
	}
	rows := [][]string{{"GENERATION", v.Generation}, {"KEY", v.Key}, {"PLATFORM", v.Platform}, {"VERDICT", state}}
	for _, f := range v.Findings {
		rows = append(rows, []string{"FINDING", f})
	}
	rows = append(rows, []string{"SNAPSHOTS", fmt.Sprintf("%d, and %d directories that nothing refers to", v.Snapshots, v.Orphans)}, []string{"BLOBS", fmt.Sprint(v.Blobs)})
	for _, row := range rows {
		if err := statusLine(w, row...); err != nil {
			return err
		}
	}
	return nil
}
