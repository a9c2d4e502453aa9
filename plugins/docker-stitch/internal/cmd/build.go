package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/moby/buildkit/session"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/build"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/shared/buildkit"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/dockerauth"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type buildOptions struct {
	project    projectFlags
	print      render.Flags
	builder    string
	platforms  []string
	tags       []string
	target     string
	noCache    bool
	push, load bool
	provenance string
	metadata   string
	progress   string
}

func newBuild(cli command.Cli) *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build [OPTIONS] [MANIFEST]",
		Short: "Build a manifest's image on the current builder",
		Long: `Build a manifest's image on the current builder.

The Dockerfile is rendered in memory; the directory of the manifest file is the
build context. Tags and platforms come from the manifest; --tag adds to the tags,
--platform replaces the platforms. What fails is reported at the line of the
template or fragment that it comes from.

SOURCE_DATE_EPOCH is passed on, and no file in the image's own layers is younger.` + cliplugin.ExitStatusHelp(""),
		Example: `  docker stitch build app --push
  docker stitch build app --load -t app:dev
  docker stitch build app --push -t 127.0.0.1:5000/app:1.0 --quiet`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.project.completeOne,
		RunE:              func(cmd *cobra.Command, args []string) error { return runBuild(cmd, cli, o, args) },
	}
	o.project.addTo(cmd)
	o.print.AddTo(cmd, "Print only the digest")
	buildkit.AddFlag(cmd, cli, &o.builder)
	display.AddFlag(cmd, &o.progress)
	f := cmd.Flags()
	f.StringSliceVar(&o.platforms, "platform", nil, "Platforms to build for, in place of the manifest's")
	f.StringArrayVarP(&o.tags, "tag", "t", nil, "Further name of the image")
	f.StringVar(&o.target, "target", "", "Stage to build")
	f.BoolVar(&o.noCache, "no-cache", false, "Run every step again")
	f.BoolVar(&o.push, "push", false, "Push the image to its tags")
	f.BoolVar(&o.load, "load", false, "Load the image into the docker engine")
	f.StringVar(&o.provenance, "provenance", "", `Provenance attestation: "true", "false", "mode=min" or "mode=max" (default "mode=min" with --push)`)
	f.StringVar(&o.metadata, "metadata-file", "", "Write what the builder says about the result into this file, as JSON")
	_ = cmd.RegisterFlagCompletionFunc("provenance", cobra.FixedCompletions([]string{"true", "false", "mode=min", "mode=max"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions([]string{"linux/amd64", "linux/arm64"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("target", o.completeTarget)
	_ = cmd.RegisterFlagCompletionFunc("tag", cobra.NoFileCompletions)
	_ = cmd.MarkFlagFilename("metadata-file", "json")
	return cmd
}

// completeTarget offers the names of the stages.
func (o *buildOptions) completeTarget(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	name, err := o.project.manifest(args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	project, err := o.project.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer project.Close()
	r, err := project.Render(cmd.Context(), name)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return r.Stages(), cobra.ShellCompDirectiveNoFileComp
}

func runBuild(cmd *cobra.Command, cli command.Cli, o buildOptions, args []string) error {
	name, err := o.check(args)
	if err != nil {
		return err
	}
	project, err := o.project.open()
	if err != nil {
		return err
	}
	defer project.Close()
	ctx := cmd.Context()
	r, err := project.Render(ctx, name)
	if err != nil {
		return err
	}
	warn(cli.Err(), r.Warnings)
	b, err := o.options(r, project.Tree)
	if err != nil {
		return err
	}
	b.Session = []session.Attachable{dockerauth.Session(cli.ConfigFile())}
	result, err := o.run(ctx, cli, b)
	if err != nil {
		return sourceError(r, b, err)
	}
	row := newBuilt(r, b, result)
	if err := writeMetadata(o.metadata, row, result.Response); err != nil {
		return err
	}
	return row.print(cli.Out(), o.print)
}

// check looks at flags before any work is done, and returns the manifest's name.
func (o buildOptions) check(args []string) (string, error) {
	if err := o.print.Validate(built{}); err != nil {
		return "", cliplugin.Usage(err)
	}
	if o.push && o.load {
		return "", cliplugin.Usage(errors.New("--push and --load exclude each other"))
	}
	for _, t := range o.tags {
		if err := manifest.CheckTag(t); err != nil {
			return "", cliplugin.Usage(err)
		}
	}
	for _, p := range o.platforms {
		if err := manifest.CheckPlatform(p); err != nil {
			return "", cliplugin.Usage(err)
		}
	}
	if _, err := o.attestation(); err != nil {
		return "", cliplugin.Usage(err)
	}
	return o.project.manifest(args)
}

// attestation returns the mode of the provenance attestation, "" for none.
func (o buildOptions) attestation() (string, error) {
	switch o.provenance {
	case "":
		if o.push {
			return "min", nil
		}
		return "", nil
	case "false":
		return "", nil
	case "true", "mode=min":
		return "min", nil
	case "mode=max":
		return "max", nil
	}
	return "", fmt.Errorf("--provenance %q is none of true, false, mode=min, mode=max", o.provenance)
}

func (o buildOptions) options(r *stitch.Rendered, tree *files.Tree) (build.Options, error) {
	b := build.Options{Dockerfile: r.Dockerfile, Context: tree.Dir(), LeaveOut: tree.Derived(), Target: o.target, NoCache: o.noCache, Push: o.push, Platforms: o.platforms}
	if len(b.Platforms) == 0 {
		for _, p := range r.Manifest.Platforms {
			b.Platforms = append(b.Platforms, p.Value)
		}
	}
	for _, t := range r.Manifest.Tags {
		b.Tags = append(b.Tags, t.Value)
	}
	for _, t := range o.tags {
		if !slices.Contains(b.Tags, t) {
			b.Tags = append(b.Tags, t)
		}
	}
	if o.push && len(b.Tags) == 0 {
		return b, cliplugin.Usage(fault.Hint(fmt.Errorf("manifest %s has no tags to push to", r.Manifest.Name.Value), "add one: --tag REGISTRY/NAME:TAG"))
	}
	b.Provenance, _ = o.attestation()
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		b.BuildArgs = map[string]string{"SOURCE_DATE_EPOCH": epoch}
	}
	return b, nil
}

func (o buildOptions) run(ctx context.Context, cli command.Cli, b build.Options) (build.Result, error) {
	builder, err := buildkit.Find(cli, o.builder)
	if err != nil {
		return build.Result{}, err
	}
	b.OwnEngine = builder.Driver == "docker"
	wait := func(err error) error { return err }
	switch {
	case o.load && b.OwnEngine:
		b.Store = true
	case o.load:
		if err := engineAnswers(ctx, cli.Client()); err != nil {
			return build.Result{}, err
		}
		b.Load, wait = build.LoadInto(ctx, cli.Client())
	case o.push && b.OwnEngine:
		if err := enginePushes(ctx, cli.Client()); err != nil {
			return build.Result{}, err
		}
	case !o.push:
		fmt.Fprintln(cli.Err(), "WARNING: neither --push nor --load is set: the result stays in the builder's cache")
	}
	client, err := builder.Dial(ctx)
	if err != nil {
		return build.Result{}, err
	}
	defer client.Close()
	ui, err := display.New(os.Stderr, o.progress, "building")
	if err != nil {
		return build.Result{}, cliplugin.Usage(err)
	}
	status, drawn := ui.Solve()
	result, err := build.Run(ctx, client, b, status, time.Now)
	drawn()
	err = wait(err)
	return result, errors.Join(err, ui.Close())
}

// sourceError says of a failed build where the instruction was written, and of a
// failed push what to look at.
func sourceError(r *stitch.Rendered, b build.Options, err error) error {
	var at *build.Error
	if !errors.As(err, &at) {
		return err
	}
	if at.Line == 0 && b.Push && strings.Contains(at.Error(), "push") {
		return fault.Hint(at, "is the registry up, and are you logged in to it? docker login")
	}
	return fault.At(r.Position(at.Line), at)
}

func writeMetadata(file string, row built, response map[string]string) error {
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(row.metadata(response), "", "  ")
	if err != nil {
		return err
	}
	return writeFile(file, append(data, '\n'))
}
