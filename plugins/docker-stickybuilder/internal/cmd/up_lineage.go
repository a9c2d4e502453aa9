package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
)

// lineage fills in what the builder's disk is called, what it falls back to, and
// whether it may be written.
func (o upOptions) lineage(ctx context.Context, up *sticky.UpOptions) error {
	if o.changed("key") {
		if err := disk.CheckKey(o.key); err != nil {
			return cliplugin.Usage(err)
		}
	}
	if o.changed("ref") {
		if err := disk.CheckRef(o.ref); err != nil {
			return cliplugin.Usage(err)
		}
		up.Ref = &o.ref
	}
	for _, f := range o.fallback {
		if f == "" && len(o.fallback) == 1 {
			break
		}
		if err := disk.CheckKey(f); err != nil {
			return cliplugin.Usage(fmt.Errorf("--fallback: %w", err))
		}
	}
	up.Fallback = o.fallback
	s, err := look(ctx)
	if err != nil {
		return err
	}
	up.DefaultKey, up.DefaultRef, up.Bases = s.key, s.ref, s.bases
	if s.untrusted != "" && !o.changed("read-only") {
		up.ReadOnly, up.Because = true, s.untrusted
	}
	return nil
}

// completeLineages completes --key, --ref and --fallback from what the disk has.
func (o *upOptions) completeLineages(cmd *cobra.Command) {
	complete := func(value func(f *choiceFlags, l disk.Lineage) string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			f := &choiceFlags{disk: o.disk, key: o.key}
			return f.complete(func(l disk.Lineage) string { return value(f, l) })(cmd, args, prefix)
		}
	}
	_ = cmd.RegisterFlagCompletionFunc("key", complete(func(_ *choiceFlags, l disk.Lineage) string { return l.Key }))
	_ = cmd.RegisterFlagCompletionFunc("ref", complete(func(f *choiceFlags, l disk.Lineage) string {
		if f.key != "" && f.key != l.Key {
			return ""
		}
		return l.Ref
	}))
	_ = cmd.RegisterFlagCompletionFunc("fallback", complete(func(_ *choiceFlags, l disk.Lineage) string { return l.Name() }))
}
