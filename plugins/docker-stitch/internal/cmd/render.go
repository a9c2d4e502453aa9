package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/command"
	"github.com/moby/sys/atomicwriter"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
)

type renderOptions struct {
	project projectFlags
	output  string
	write   bool
	mapFile string
	quiet   bool
}

func newRender(cli command.Cli) *cobra.Command {
	var o renderOptions
	cmd := &cobra.Command{
		Use:   "render [OPTIONS] [MANIFEST]",
		Short: "Render a manifest's Dockerfile",
		Long: `Render a manifest's Dockerfile, on standard output or into a file.

MANIFEST may be left out where the file has only one. The Dockerfile carries the
manifest id, the digest of everything it was made from: the manifest, the
template, the fragments, their parameters, and the files that the instructions
take from the build context. BuildKit's linter looks at the result; its warnings
go to standard error, each at the line of the template or fragment.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stitch render app
  docker stitch render app -o Dockerfile.app --map app.map.json
  docker stitch render --manifest-id llm_factory --output dockerfiles/Dockerfile.rendered
  docker stitch render app | docker build -f - .`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.project.completeOne,
		RunE:              func(cmd *cobra.Command, args []string) error { return runRender(cmd, cli, o, args) },
	}
	o.project.addTo(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", `File to write, "-" for standard output`)
	f.BoolVarP(&o.write, "write", "w", false, "Write to the file that the manifest names as its output")
	f.StringVar(&o.mapFile, "map", "", "Also write a JSON map from lines to their sources into this file")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Print only the manifest id")
	_ = cmd.MarkFlagFilename("output")
	_ = cmd.MarkFlagFilename("map", "json")
	return cmd
}

func runRender(cmd *cobra.Command, cli command.Cli, o renderOptions, args []string) error {
	if o.output != "" && o.write {
		return cliplugin.Usage(errors.New("--output and --write exclude each other"))
	}
	name, err := o.project.manifest(args)
	if err != nil {
		return err
	}
	project, err := o.project.open()
	if err != nil {
		return err
	}
	defer project.Close()
	r, err := project.Render(cmd.Context(), name)
	if err != nil {
		return err
	}
	warn(cli.Err(), r.Warnings)

	output := o.output
	if o.write {
		if r.Manifest.Output.Value == "" {
			return cliplugin.Usage(fmt.Errorf("manifest %s names no output; use --output", r.Manifest.Name.Value))
		}
		output = filepath.Join(project.Tree.Dir(), filepath.FromSlash(r.Manifest.Output.Value))
		if err := os.MkdirAll(filepath.Dir(output), 0o777); err != nil {
			return fmt.Errorf("making the directory of %s: %w", output, err)
		}
	}
	if err := writeMap(o.mapFile, r); err != nil {
		return err
	}
	switch {
	case output != "" && output != "-":
		err = writeFile(output, r.Dockerfile)
	case !o.quiet:
		_, err = cli.Out().Write(r.Dockerfile)
	}
	if err == nil && o.quiet {
		_, err = fmt.Fprintln(cli.Out(), r.ID)
	}
	return err
}

func writeMap(file string, r *stitch.Rendered) error {
	if file == "" {
		return nil
	}
	if file == "-" {
		return cliplugin.Usage(errors.New("--map needs a file"))
	}
	data, err := json.MarshalIndent(r.Map(), "", "  ")
	if err != nil {
		return err
	}
	return writeFile(file, append(data, '\n'))
}

// writeFile leaves either the whole new content under that name or the old one.
func writeFile(file string, data []byte) error {
	if err := atomicwriter.WriteFile(file, data, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

func warn(w io.Writer, warnings []stitch.Warning) {
	for _, warning := range warnings {
		fmt.Fprintf(w, "WARNING: %s\n", warning)
	}
}
