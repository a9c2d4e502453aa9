package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/matrix"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type matrixOptions struct {
	records string
	key     string
	render  render.Flags
}

func newMatrixCommand(dockerCLI command.Cli) *cobra.Command {
	var o matrixOptions
	cmd := &cobra.Command{
		Use:   "matrix [OPTIONS] --records DIR",
		Short: "Show what was tested, by manifest and platform",
		Long: `Show what the records in a directory say, one line for each manifest and platform.
The newest record of each decides. With --key the line also says whether the
record is what that key has signed.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker evidence matrix --records records
  docker evidence matrix --records records --key evidence.pub --format json`,
		Args:              cli.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			if err := o.render.Validate(matrix.Cell{}); err != nil {
				return cliplugin.Usage(err)
			}
			if o.records == "" {
				return cliplugin.Usage(fault.Hint(errors.New("no directory of records given"), "add --records DIR, the --record-dir of docker evidence run"))
			}
			return runMatrix(dockerCLI, o)
		},
	}
	cmd.Flags().StringVar(&o.records, "records", "", "Directory of records")
	cmd.Flags().StringVar(&o.key, "key", "", "Public key (PEM) to check the records with")
	o.render.AddTo(cmd, "")
	_ = cmd.MarkFlagDirname("records")
	_ = cmd.MarkFlagFilename("key", "pub", "pem")
	return cmd
}

func runMatrix(dockerCLI command.Cli, o matrixOptions) error {
	var public *key.Public
	if o.key != "" {
		var err error
		if public, err = readPublic(o.key); err != nil {
			return err
		}
	}
	if _, err := os.ReadDir(o.records); err != nil {
		return fmt.Errorf("reading records: %w", err)
	}
	cells, err := matrix.Read(os.DirFS(o.records), public)
	if err != nil {
		return fmt.Errorf("reading records in %s: %w", o.records, err)
	}
	return o.render.Print(dockerCLI.Out(), "", cells, func(w io.Writer) error {
		fmt.Fprint(w, "MANIFEST\tID\tPLATFORM\tSTATUS\tTESTS\tPACKAGES\tFINISHED")
		if public != nil {
			fmt.Fprint(w, "\tSIGNED")
		}
		fmt.Fprintln(w)
		for _, c := range cells {
			fmt.Fprintf(w, "%s\t%.19s\t%s\t%s\t%d/%d\t%d\t%s", printable(c.Manifest), orDash(c.ManifestID), printable(c.Platform), c.Status,
				c.Tests.Pass, c.Tests.Total, c.Packages, c.Finished.Format("2006-01-02 15:04:05Z"))
			if public != nil {
				fmt.Fprintf(w, "\t%s", printable(c.Signed))
			}
			fmt.Fprintln(w)
		}
		return nil
	})
}
