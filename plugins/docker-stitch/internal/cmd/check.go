package cmd

import (
	"fmt"
	"io"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type checkOptions struct {
	project projectFlags
	print   render.Flags
}

// A checked is one row of the result.
type checked struct {
	Name      string    `json:"name"`
	ID        string    `json:"id"`
	Fragments []string  `json:"fragments"`
	Warnings  []located `json:"warnings"`
}

type located struct {
	stitch.Warning
	File string `json:"file"`
	Line int    `json:"line"`
}

func newCheck(cli command.Cli) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [OPTIONS] [MANIFEST...]",
		Short: "Report everything that is wrong with manifests",
		Long: `Report everything that is wrong with manifests, templates, fragments and what they
render to, without a builder and without a network. Without arguments, all
manifests are checked.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stitch check
  docker stitch check app app_next --format json`,
		ValidArgsFunction: o.project.complete,
		RunE:              func(cmd *cobra.Command, args []string) error { return runCheck(cmd, cli, o, args) },
	}
	o.project.addTo(cmd)
	o.print.AddTo(cmd, "Print nothing but mistakes and warnings")
	return cmd
}

func runCheck(cmd *cobra.Command, cli command.Cli, o checkOptions, args []string) error {
	if err := o.print.Validate(checked{}); err != nil {
		return cliplugin.Usage(err)
	}
	project, err := o.project.open()
	if err != nil {
		return err
	}
	defer project.Close()
	names := args
	if o.project.name != "" {
		names = append(names, o.project.name)
	}
	if len(names) == 0 {
		names = project.Set.Names()
	}
	var errs fault.List
	seen := map[string]bool{}
	rows := []checked{}
	for _, name := range names {
		r, err := project.Render(cmd.Context(), name)
		if err != nil {
			addOnce(&errs, seen, err)
			continue
		}
		warn(cli.Err(), newOnes(r.Warnings, seen))
		rows = append(rows, rowOf(r))
	}
	if err := errs.Err(); err != nil || o.print.Quiet {
		return err
	}
	return o.print.Print(cli.Out(), "", rows, func(w io.Writer) error {
		fmt.Fprintln(w, "MANIFEST\tID\tFRAGMENTS\tWARNINGS")
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\n", r.Name, r.ID, len(r.Fragments), len(r.Warnings))
		}
		return nil
	})
}

// addOnce leaves out what is known already: manifests share fragments and
// templates, and so their mistakes.
func addOnce(errs *fault.List, seen map[string]bool, err error) {
	var one fault.List
	one.Add(err)
	for _, e := range one.All() {
		if !seen[e.Error()] {
			seen[e.Error()] = true
			errs.Add(e)
		}
	}
}

// newOnes returns the warnings that were not seen before.
func newOnes(warnings []stitch.Warning, seen map[string]bool) []stitch.Warning {
	var out []stitch.Warning
	for _, w := range warnings {
		if !seen[w.String()] {
			seen[w.String()] = true
			out = append(out, w)
		}
	}
	return out
}

func rowOf(r *stitch.Rendered) checked {
	row := checked{Name: r.Manifest.Name.Value, ID: r.ID, Fragments: []string{}, Warnings: []located{}}
	for _, f := range r.Manifest.Fragments {
		row.Fragments = append(row.Fragments, f.Name.Value+" "+f.Version.Value)
	}
	for _, w := range r.Warnings {
		row.Warnings = append(row.Warnings, located{w, w.At.File, w.At.Line})
	}
	return row
}
