package cmd

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ci"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/doctor"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/buildkit"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type doctorOptions struct {
	disk      string
	buildkitd string
	options   []string
	output    render.Flags
}

func newDoctorCmd(dockerCLI command.Cli) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor [OPTIONS]",
		Short: "Say what this machine lacks for a builder, and how to get it",
		Long: `Look at what each driver and the disk need on this machine, and say what is missing
and how to get it. Nothing is changed. If the engine has the image of BuildKit, a
container of it is run for a moment and removed, to see whether it may be privileged;
of a disk in a registry an upload is begun and cancelled.

  ok       as it should be
  warning  it works, but not as well as it could
  missing  it does not work without` + cliplugin.ExitStatusHelp("no driver can be used"),
		Example: `  docker stickybuilder doctor

  # Also whether the registry may be pushed to
  docker stickybuilder doctor --disk oci:registry.example/cache

  # What is missing, for a script
  docker stickybuilder doctor --format '{{range .Findings}}{{if eq .Status "missing"}}{{.Check}}: {{.Hint}}{{"\n"}}{{end}}{{end}}'`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), dockerCLI, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.disk, "disk", "", `Disk to look at, "dir:PATH", "oci:REGISTRY/REPO", "volume:NAME" or "none" (default: the pool in the state directory)`)
	f.StringVar(&o.buildkitd, "buildkitd", "", "buildkitd to look at (default: the one on PATH)")
	f.StringArrayVar(&o.options, "driver-opt", nil, `As of up: "image=…" is the image to try`)
	o.output.AddTo(cmd, "Print only the driver that up would choose")
	_ = cmd.RegisterFlagCompletionFunc("disk", cobra.FixedCompletions(allDisks, cobra.ShellCompDirectiveNoSpace))
	_ = cmd.RegisterFlagCompletionFunc("driver-opt", cobra.FixedCompletions([]string{"image="}, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runDoctor(ctx context.Context, dockerCLI command.Cli, o doctorOptions) error {
	if err := o.output.Validate(doctor.Diagnosis{}); err != nil {
		return cliplugin.Usage(err)
	}
	options, err := driverOptions(o.options)
	if err != nil {
		return cliplugin.Usage(err)
	}
	h, err := host()
	if err != nil {
		return err
	}
	if o.disk == "" {
		o.disk = defaultDisk(h)
	}
	if o.disk, err = diskSpec(o.disk); err != nil {
		return err
	}
	spec, err := disk.ParseSpec(o.disk)
	if err != nil {
		return cliplugin.Usage(err)
	}
	look := doctor.Options{
		Path: h.Path, IsRoot: h.IsRoot, Overlay: h.Overlay, Buildkitd: o.buildkitd, Disk: spec, Home: h.Home(spec), Image: options["image"],
		Engine: dockerCLI.DockerEndpoint().Host, Reach: h.Reach, Keychain: h.Keychain, UserAgent: h.UserAgent, CI: os.Getenv("CI") != "",
	}
	if isVolume(o.disk) {
		if look.Engine, err = engineName(dockerCLI); err != nil {
			return err
		}
	}
	if program, args, err := buildkit.BuildxCommand(dockerCLI); err == nil {
		look.Buildx = append([]string{program}, args...)
	}
	for _, name := range []string{"GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"} {
		if path := os.Getenv(name); path != "" {
			look.Files = append(look.Files, doctor.File{Variable: name, Path: path})
		}
	}
	for _, a := range process.Ancestors(os.Getpid()) {
		if ci.IsRunner(a.Name) {
			look.Runner = a.Name
			break
		}
	}
	d := doctor.Examine(ctx, look)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !o.output.Quiet || d.Usable {
		if err := o.output.Print(dockerCLI.Out(), d.Driver, d, func(w io.Writer) error { return doctorTable(w, d) }); err != nil {
			return err
		}
	}
	if !d.Usable {
		return cliplugin.Negative(fault.Hint(errors.New("no driver can be used on this machine"), "see what is missing above"))
	}
	return nil
}

func doctorTable(w io.Writer, d *doctor.Diagnosis) error {
	if err := statusLine(w, "AREA", "CHECK", "STATUS", "DETAIL"); err != nil {
		return err
	}
	for _, f := range d.Findings {
		detail := f.Detail
		if f.Hint != "" {
			detail += " (hint: " + f.Hint + ")"
		}
		if err := statusLine(w, f.Area, f.Check, f.Status, detail); err != nil {
			return err
		}
	}
	return statusLine(w, "\nDRIVER", dash(d.Driver))
}
