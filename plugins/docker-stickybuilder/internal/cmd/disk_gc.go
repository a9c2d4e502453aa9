package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type diskGcOptions struct {
	choiceFlags
	keep     int
	unused   time.Duration
	dry      bool
	progress string
	output   render.Flags
}

func newDiskGcCmd(dockerCLI command.Cli) *cobra.Command {
	var o diskGcOptions
	cmd := &cobra.Command{
		Use:   "gc [OPTIONS]",
		Short: "Remove from a pool what nothing refers to",
		Long: `Remove from all disks of a pool the oldest generations beyond --keep, working copies
whose jobs have died, and what removals that were interrupted have left. The head
is always kept, and what is in use is left alone.

Of a disk in a registry, the manifests and tags of old generations are deleted; the
registry frees the space when it collects its own garbage. One that does not delete
says so: its retention rules have to do it then. What is newer than the head is left alone
for a minute, since its job may be about to make it the head.

With --unused, whole disks that no job has cloned or committed for that long go too,
with all of their generations, such as those of branches that were merged. A registry
does not know of clones by other machines, so there only commits keep a disk.

"up" and "down" collect garbage too; this is for pools that no job uses any more.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stickybuilder disk gc --dry-run
  docker stickybuilder disk gc --disk dir:/mnt/cache --keep 1
  docker stickybuilder disk gc --disk dir:/mnt/cache --unused 720h --dry-run`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return explainRoot(runDiskGc(cmd.Context(), dockerCLI, o)) },
	}
	o.addDisk(cmd)
	cmd.Flags().IntVar(&o.keep, "keep", 3, "Generations to keep of each disk, the head among them")
	cmd.Flags().DurationVar(&o.unused, "unused", 0, "Also remove disks that no job has used for this long, such as 720h; 0 for none")
	cmd.Flags().BoolVar(&o.dry, "dry-run", false, "Only show what would be removed")
	_ = cmd.RegisterFlagCompletionFunc("keep", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("unused", cobra.NoFileCompletions)
	display.AddFlag(cmd, &o.progress)
	o.output.AddTo(cmd, "Print only the ids of what is removed")
	return cmd
}

func runDiskGc(ctx context.Context, dockerCLI command.Cli, o diskGcOptions) error {
	if o.keep < 1 {
		return cliplugin.Usage(errors.New("--keep must be at least 1"))
	}
	if o.unused < 0 {
		return cliplugin.Usage(errors.New("--unused must not be negative"))
	}
	if err := o.output.Validate(sticky.Collected{}); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	spec, err := o.spec(h)
	if err != nil {
		return err
	}
	show, err := display.New(os.Stderr, o.progress, "collecting garbage")
	if err != nil {
		return cliplugin.Usage(err)
	}
	done, err := h.CollectDisk(ctx, spec, sticky.CollectOptions{Keep: o.keep, Unused: o.unused, Dry: o.dry}, show)
	_ = show.Close()
	return errors.Join(err, o.print(dockerCLI, done))
}

func (o diskGcOptions) print(dockerCLI command.Cli, done []sticky.Collected) error {
	var ids []string
	var total int64
	for _, c := range done {
		if c.Removed || o.dry {
			ids = append(ids, c.ID)
			total += c.Bytes
		}
	}
	verb := "removed"
	if o.dry {
		verb = "would remove"
	}
	note(dockerCLI, "%s %s in %d directories", verb, size(total), len(ids))
	if len(ids) == 0 && o.output.Quiet {
		return nil
	}
	return o.output.Print(dockerCLI.Out(), strings.Join(ids, "\n"), done, func(w io.Writer) error {
		if len(done) == 0 {
			return nil
		}
		if err := statusLine(w, "KIND", "ID", "SIZE", "REMOVED", "KEY"); err != nil {
			return err
		}
		for _, c := range done {
			state := "yes"
			switch {
			case o.dry:
				state = "dry run"
			case !c.Removed:
				state = "in use"
			}
			if err := statusLine(w, c.Kind, c.ID, size(c.Bytes), state, dash(c.Lineage.Name())); err != nil {
				return err
			}
		}
		return nil
	})
}
