package cmd

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type diskRmOptions struct {
	choiceFlags
	all    bool
	output render.Flags
}

func newDiskRmCmd(dockerCLI command.Cli) *cobra.Command {
	var o diskRmOptions
	cmd := &cobra.Command{
		Use:     "rm [OPTIONS] GENERATION [GENERATION...] | --all --key KEY | --all --disk volume:NAME",
		Aliases: []string{"remove"},
		Short:   "Remove generations, or all of a disk",
		Long: `Remove the named generations or, with --all, the disk of a key with its head and
all generations. It does not ask.

The head is only removed with --all. What a job uses is never removed: a generation
that is being cloned, or a disk of which there is a working copy.

Of a docker volume, which has no generations, all is removed. It has to be one that "up"
has made; others are removed by "docker volume rm".` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stickybuilder disk rm 20260102T030405Z-0123456789ab
  docker stickybuilder disk rm --all --key acme/app --ref feature
  docker stickybuilder disk rm --all --disk volume:buildcache`,
		ValidArgsFunction: o.completeGenerations(0),
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case o.all && len(args) > 0:
				return cliplugin.Usage(errors.New("--all takes no GENERATION"))
			case isVolume(o.disk) && (!o.all || o.key != "" || o.ref.value != nil || o.platform != ""):
				return cliplugin.Usage(fault.Hint(sticky.ErrNoGenerations, "remove it with all that is in it: docker stickybuilder disk rm --all --disk %s", o.disk))
			case o.all && o.key == "" && !isVolume(o.disk):
				return cliplugin.Usage(fault.Hint(errors.New("--all needs --key"), "see the keys: docker stickybuilder disk ls"))
			case !o.all && len(args) == 0:
				return cliplugin.Usage(fault.Hint(errors.New("nothing to remove is named"), "name generations, or a disk with --all --key KEY"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return explainRoot(runDiskRm(cmd.Context(), dockerCLI, o, args))
		},
	}
	o.add(cmd, "Key of the disk; needed for --all", "Branch, tag or pull request of the disk, if the key has several")
	cmd.Flags().BoolVar(&o.all, "all", false, "Remove the head and all generations of --key")
	o.output.AddTo(cmd, "Print only the ids of what was removed")
	return cmd
}

func runDiskRm(ctx context.Context, dockerCLI command.Cli, o diskRmOptions, args []string) error {
	if err := o.output.Validate(sticky.Removed{}); err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	if isVolume(o.disk) {
		return removeVolume(ctx, dockerCLI, h, o)
	}
	choice, err := o.choice(ctx, h, args)
	if err != nil {
		return err
	}
	var r *sticky.Removed
	if o.all {
		r, err = h.RemoveLineage(ctx, choice)
	} else {
		r, err = h.RemoveGenerations(ctx, choice, args)
	}
	if r == nil || len(r.Generations) == 0 {
		return err
	}
	return errors.Join(err, o.output.Print(dockerCLI.Out(), strings.Join(r.Generations, "\n"), r, func(w io.Writer) error {
		for _, id := range r.Generations {
			if err := statusLine(w, "removed", id, disk.Lineage{Key: r.Key, Ref: r.Ref}.Name(), r.Platform); err != nil {
				return err
			}
		}
		return nil
	}))
}

func removeVolume(ctx context.Context, dockerCLI command.Cli, h sticky.Host, o diskRmOptions) error {
	spec, err := diskSpec(o.disk)
	if err != nil {
		return err
	}
	engine, err := engineName(dockerCLI)
	if err != nil {
		return err
	}
	r, err := h.RemoveVolume(ctx, engine, spec)
	if err != nil {
		return err
	}
	return o.output.Print(dockerCLI.Out(), r.Disk, r, func(w io.Writer) error { return statusLine(w, "removed", r.Disk) })
}
