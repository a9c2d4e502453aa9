package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/render"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

type verifyOptions struct {
	project projectFlags
	print   render.Flags
}

func newVerify(cli command.Cli) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [OPTIONS] [DOCKERFILE|IMAGE...]",
		Short: "Compare Dockerfiles and images with what is declared",
		Long: `Compare Dockerfiles and images with what their manifests render to now.

A Dockerfile must be equal to the last byte. Of an image, the manifest id in its
label is compared; an image is a registry reference or oci://DIR. Without
arguments, the files that manifests name as their output are verified.

Drift is explained on standard error.` + cliplugin.ExitStatusHelp("drift: a subject is not what its manifest renders to"),
		Example: `  docker stitch verify Dockerfile.app
  docker stitch verify registry.example/app:1.0
  docker stitch verify --format json`,
		RunE: func(cmd *cobra.Command, args []string) error { return runVerify(cmd, cli, o, args) },
	}
	o.project.addTo(cmd)
	o.print.AddTo(cmd, "Print only the manifest id that the sources give")
	return cmd
}

func runVerify(cmd *cobra.Command, cli command.Cli, o verifyOptions, args []string) error {
	if err := o.print.Validate(stitch.Verdict{}); err != nil {
		return cliplugin.Usage(err)
	}
	project, err := o.project.open()
	if err != nil {
		return err
	}
	defer project.Close()
	if len(args) == 0 {
		if args, err = outputs(project, o.project.name); err != nil {
			return err
		}
	}
	verdicts := []stitch.Verdict{}
	var drift fault.List
	for _, subject := range args {
		v, err := verifyOne(cmd.Context(), cli, project, subject, o.project.name)
		if err != nil {
			return err
		}
		verdicts = append(verdicts, v)
		if !v.Equal {
			drift.Add(fmt.Errorf("%s is not what manifest %s renders to: %s", v.Subject, v.Manifest, v.Reason))
		}
		if v.Diff != "" {
			fmt.Fprint(cli.Err(), shorten(v.Diff))
		}
	}
	if err := printVerdicts(cli.Out(), o.print, verdicts); err != nil {
		return err
	}
	return cliplugin.Negative(drift.Err())
}

// outputs lists the files that manifests, or the one called name, name as their
// output.
func outputs(p *stitch.Project, name string) ([]string, error) {
	seen := map[string]bool{}
	var files []string
	for _, m := range p.Set.Manifests {
		out := m.Output.Value
		if out == "" || seen[out] || (name != "" && m.Name.Value != name) {
			continue
		}
		seen[out] = true
		files = append(files, filepath.Join(p.Tree.Dir(), filepath.FromSlash(out)))
	}
	if len(files) == 0 {
		return nil, cliplugin.Usage(fault.Hint(errors.New("no manifest names an output: there is nothing to verify"), "name a Dockerfile or an image"))
	}
	return files, nil
}

func verifyOne(ctx context.Context, cli command.Cli, p *stitch.Project, subject, name string) (stitch.Verdict, error) {
	if info, err := os.Stat(subject); (err == nil && info.Mode().IsRegular()) || looksLikeFile(subject) {
		data, err := readBounded(subject)
		if err != nil {
			return stitch.Verdict{}, fmt.Errorf("reading %s: %w", subject, cause(err))
		}
		return p.VerifyFile(ctx, subject, data, name)
	}
	labels, err := imageLabels(ctx, cli, subject)
	if err != nil {
		return stitch.Verdict{}, err
	}
	return p.VerifyID(ctx, subject, labels[wire.LabelManifestName], labels[wire.LabelManifestID], name)
}

// looksLikeFile tells a Dockerfile that is missing from an image's name.
func looksLikeFile(s string) bool {
	if strings.Contains(s, "://") {
		return false
	}
	base := filepath.Base(s)
	return filepath.IsAbs(s) || strings.HasPrefix(s, ".") || strings.HasPrefix(base, "Dockerfile") || strings.HasSuffix(base, ".Dockerfile")
}

// maxDockerfile bounds a file to verify, in bytes.
const maxDockerfile = 64 << 20

func readBounded(file string) ([]byte, error) {
	// To open a pipe would wait for whoever writes to it.
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDockerfile+1))
	if err == nil && len(data) > maxDockerfile {
		err = errors.New("too large for a Dockerfile")
	}
	return data, err
}

func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func printVerdicts(w io.Writer, f render.Flags, verdicts []stitch.Verdict) error {
	ids := make([]string, len(verdicts))
	for i, v := range verdicts {
		ids[i] = v.Rendered
	}
	return f.Print(w, strings.Join(ids, "\n"), verdicts, func(w io.Writer) error {
		fmt.Fprintln(w, "SUBJECT\tMANIFEST\tRESULT\tID")
		for _, v := range verdicts {
			result := "equal"
			if !v.Equal {
				result = "drift"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Subject, v.Manifest, result, v.Rendered)
		}
		return nil
	})
}

// maxDiff bounds how many lines of a difference are shown.
const maxDiff = 60

func shorten(diff string) string {
	lines := strings.SplitAfter(diff, "\n")
	if len(lines) <= maxDiff {
		return diff
	}
	return strings.Join(lines[:maxDiff], "") + fmt.Sprintf("… %d more lines\n", len(lines)-maxDiff)
}
