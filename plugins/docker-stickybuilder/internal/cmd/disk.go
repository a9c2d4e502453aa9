package cmd

import (
	"context"
	"slices"

	"github.com/docker/cli/cli/command"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func newDiskCmd(dockerCLI command.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disk",
		Short: "Look after disks and their generations",
		Long: `Look after the disks of a pool. A disk is a chain of immutable generations for one
key, ref and platform; one of them is its head, which the next "up" clones.`,
	}
	cmd.AddCommand(newDiskLsCmd(dockerCLI), newDiskInspectCmd(dockerCLI), newDiskVerifyCmd(dockerCLI),
		newDiskRollbackCmd(dockerCLI), newDiskRmCmd(dockerCLI), newDiskGcCmd(dockerCLI), newDiskPushCmd(dockerCLI))
	return cmd
}

// choiceFlags are --disk, --key, --ref and --platform.
type choiceFlags struct {
	disk, key, platform string
	ref                 refFlag
}

// A refFlag tells --ref "" from none.
type refFlag struct{ value *string }

func (r *refFlag) String() string {
	if r.value == nil {
		return ""
	}
	return *r.value
}

func (r *refFlag) Type() string { return "string" }

func (r *refFlag) Set(s string) error {
	if err := disk.CheckRef(s); err != nil {
		return err
	}
	r.value = &s
	return nil
}

func (f *choiceFlags) addDisk(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.disk, "disk", "", `Where the disks are, "dir:PATH" or "oci:REGISTRY/REPO" (default: the pool in the state directory)`)
	_ = cmd.RegisterFlagCompletionFunc("disk", cobra.FixedCompletions(diskSchemes, cobra.ShellCompDirectiveNoSpace))
}

func (f *choiceFlags) add(cmd *cobra.Command, key, ref string) {
	f.addDisk(cmd)
	cmd.Flags().StringVar(&f.key, "key", "", key)
	cmd.Flags().Var(&f.ref, "ref", ref)
	cmd.Flags().StringVar(&f.platform, "platform", "", "Platform of the builder, if there are several")
	f.completeLineage(cmd)
	_ = cmd.RegisterFlagCompletionFunc("platform", f.complete(func(l disk.Lineage) string {
		if (f.key != "" && f.key != l.Key) || (f.ref.value != nil && *f.ref.value != l.Ref) {
			return ""
		}
		return l.Platform
	}))
}

// completeLineage completes --key and --ref from what the disk has.
func (f *choiceFlags) completeLineage(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("key", f.complete(func(l disk.Lineage) string { return l.Key }))
	_ = cmd.RegisterFlagCompletionFunc("ref", f.complete(func(l disk.Lineage) string {
		if f.key != "" && f.key != l.Key {
			return ""
		}
		return l.Ref
	}))
}

func (f *choiceFlags) complete(value func(disk.Lineage) string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, l := range f.listed(cmd.Context()) {
			if v := value(l); v != "" && !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// keyDefault describes --key where one lineage is meant.
const (
	keyDefault = "What jobs share the disk by (default: the repository; with a GENERATION, any)"
	refDefault = "Branch, tag or pull request (default: the one that is checked out, or the only one of --key)"
)

func (f *choiceFlags) filter() sticky.Filter {
	return sticky.Filter{Key: f.key, Ref: f.ref.value, Platform: f.platform}
}

// spec is --disk, or its default.
func (f *choiceFlags) spec(h sticky.Host) (string, error) {
	if f.disk == "" {
		return defaultDisk(h), nil
	}
	spec, err := diskSpec(f.disk)
	if err == nil && spec == disk.None {
		return "", cliplugin.Usage(fault.Hint(sticky.ErrNoDisk, "name one that is: --disk dir:PATH or oci:REGISTRY/REPO"))
	}
	if err == nil && isVolume(spec) {
		return "", cliplugin.Usage(noGenerations(spec))
	}
	return spec, err
}

func (f *choiceFlags) choice(ctx context.Context, h sticky.Host, args []string) (sticky.Choice, error) {
	c := sticky.Choice{Key: f.key, Ref: f.ref.value, Platform: f.platform}
	var err error
	if c.Disk, err = f.spec(h); err != nil {
		return c, err
	}
	if len(args) > 0 {
		c.Generation = args[0]
	}
	if c.Key != "" {
		return c, cliplugin.Usage(disk.CheckKey(c.Key))
	}
	if c.Generation == "" {
		s, err := look(ctx)
		if err != nil {
			return c, err
		}
		c.DefaultKey, c.DefaultRef = s.key, s.ref
	}
	return c, nil
}

// noGenerations says what there is instead.
func noGenerations(spec string) error {
	return fault.Hint(sticky.ErrNoGenerations, "look at it: docker stickybuilder disk inspect --disk %s; remove it with all that is in it: docker stickybuilder disk rm --all --disk %s", spec, spec)
}

// listed is the disk as completion sees it: nothing if it cannot be read.
func (f *choiceFlags) listed(ctx context.Context) []disk.Lineage {
	h, err := host()
	if err != nil {
		return nil
	}
	spec, err := f.spec(h)
	if err != nil {
		return nil
	}
	all, err := h.Lineages(ctx, spec)
	if err != nil {
		return nil
	}
	return all
}

// completeGenerations completes up to most ids: those of --key, or of all keys.
func (f *choiceFlags) completeGenerations(most int) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		h, err := host()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		spec, err := f.spec(h)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		records, err := h.ListGenerations(cmd.Context(), spec, f.filter())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, r := range records {
			if !slices.Contains(args, r.ID) {
				out = append(out, r.ID+"\t"+standing(r))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// standing is a generation's place in its lineage.
func standing(r disk.Record) string {
	switch {
	case r.Bad != nil:
		return "bad"
	case r.Head:
		return "head"
	}
	return "kept"
}

func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
