package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
	"github.com/dockerfactory/dockerfactory/shared/buildkit"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress/display"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

type runOptions struct {
	image      string
	suites     []string
	manifestID string
	base       string
	notes      string
	sbom       bool
	recordDir  string
	key        string
	attach     bool
	platform   string
	runner     string
	builder    string
	timeout    time.Duration
	progress   string
	render     render.Flags
}

func newRunCommand(dockerCLI command.Cli) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [OPTIONS] IMAGE --suite FILE...",
		Short: "Test an image, list its packages, and record, sign and attach the result",
		Long: `Test an image, list its packages, and record, sign and attach the result. The
record also holds the digest of the image's file tree, the one that docker repack
verify compares.

IMAGE is a name in a registry, or oci://DIR for an OCI layout (with a builder
only). It is resolved to a digest once; everything else works on the image of that
digest and platform, whatever its tag points to meanwhile.

Tests run in containers without network (unless the suite says "network: default")
on the docker engine if one answers, else on the builder. An image that the engine
has to pull for this is removed again.

The record, the SBOM and the test results are statements about the manifest of the
platform, not about an index around it, whose other platforms were not tested. To
verify them with cosign name that digest, which --quiet prints.

With SOURCE_DATE_EPOCH set, the same run gives the same bytes, and attaching them
again changes nothing.` + cliplugin.ExitStatusHelp("the tests failed; the record says so, and is written and attached"),
		Example: `  docker evidence run localhost:5000/app:1 --suite smoke.yaml --record-dir records
  docker evidence run ghcr.io/org/app:1 --suite smoke.yaml --key evidence.key
  cosign verify-attestation --key evidence.pub --insecure-ignore-tlog \
    --type https://spdx.dev/Document ghcr.io/org/app@$(docker evidence run -q ...)`,
		Args:              cli.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.image = args[0]
			if err := o.complete(cmd); err != nil {
				return cliplugin.Usage(err)
			}
			return runRun(cmd.Context(), dockerCLI, o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.suites, "suite", "s", nil, "Suite of smoke tests (YAML file); can be given several times")
	f.StringVar(&o.manifestID, "manifest-id", "", "Manifest that the image was built from, sha256:... (default: the image's label)")
	f.StringVar(&o.base, "base", "", "Base image, NAME@sha256:... (default: from the image's annotations or provenance)")
	f.StringVar(&o.notes, "notes", "", "Text to put into the record")
	f.BoolVar(&o.sbom, "sbom", true, "List the image's packages as SPDX")
	f.StringVar(&o.recordDir, "record-dir", "", "Directory to write the record, logs, SBOM and bundles to")
	f.StringVar(&o.key, "key", "", "Private key to sign with (PEM; see docker evidence key generate)")
	f.BoolVar(&o.attach, "attach", false, "Attach what was signed to the image in its registry (default true with --key)")
	addPlatformFlag(cmd, &o.platform)
	f.StringVar(&o.runner, "runner", "auto", `What runs the tests: "auto", "docker" or "buildkit"`)
	f.DurationVar(&o.timeout, "timeout", 0, "Limit for the whole run, such as 10m (default: none; each test has its own)")
	buildkit.AddFlag(cmd, dockerCLI, &o.builder)
	display.AddFlag(cmd, &o.progress)
	o.render.AddTo(cmd, "Print only the digest of the tested image's manifest")
	_ = cmd.MarkFlagFilename("suite", "yaml", "yml")
	_ = cmd.MarkFlagFilename("key")
	_ = cmd.MarkFlagDirname("record-dir")
	_ = cmd.RegisterFlagCompletionFunc("runner", cobra.FixedCompletions([]string{"auto", "docker", "buildkit"}, cobra.ShellCompDirectiveNoFileComp))
	for _, name := range []string{"manifest-id", "base", "notes", "timeout"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

// complete checks the flags against each other and fills in what follows from
// them.
func (o *runOptions) complete(cmd *cobra.Command) error {
	if err := o.render.Validate(evidence.Result{}); err != nil {
		return err
	}
	if len(o.suites) == 0 {
		return fault.Hint(errors.New("no suite given: a record without tests would say nothing"), "name one: --suite smoke.yaml")
	}
	switch o.runner {
	case "auto", "docker", "buildkit":
	default:
		return fmt.Errorf(`--runner %q is none of "auto", "docker" and "buildkit"`, o.runner)
	}
	ref, err := image.Parse(o.image)
	if err == nil {
		err = ref.Only(image.Registry, image.Layout)
	}
	if err != nil {
		return err
	}
	inRegistry := ref.Kind == image.Registry
	if !cmd.Flags().Changed("attach") {
		o.attach = o.key != "" && inRegistry
	}
	switch {
	case o.attach && o.key == "":
		return fault.Hint(errors.New("--attach needs a key: only signed statements are attached"), "add --key FILE; make one with docker evidence key generate")
	case o.attach && !inRegistry:
		return fault.Hint(fmt.Errorf("cannot attach to %s", o.image), "leave --attach out and keep the bundles with --record-dir DIR")
	case o.key != "" && !o.attach && o.recordDir == "":
		return fault.Hint(errors.New("what --key signs would go nowhere"), "add --record-dir DIR, or --attach")
	}
	if o.manifestID != "" && !record.IsDigest(o.manifestID) {
		return fmt.Errorf("--manifest-id %q is not sha256: and 64 hex digits", o.manifestID)
	}
	if o.base != "" {
		if _, err := record.ParseBase(o.base); err != nil {
			return fmt.Errorf("--%w", err)
		}
	}
	return nil
}

func runRun(ctx context.Context, dockerCLI command.Cli, o runOptions) (rerr error) {
	suites, err := readSuites(o.suites)
	if err != nil {
		return err
	}
	opts := evidence.Options{
		Suites: suites, Lookup: os.LookupEnv, SBOM: o.sbom,
		ManifestID: o.manifestID, Notes: o.notes, RecordDir: o.recordDir,
	}
	if opts.Now, err = clock(); err != nil {
		return err
	}
	if o.base != "" {
		base, err := record.ParseBase(o.base)
		if err != nil {
			return err
		}
		opts.Base = &base
	}
	if o.key != "" {
		if opts.Key, err = readPrivate(o.key); err != nil {
			return err
		}
	}
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("the run took longer than --timeout %s", o.timeout))
		defer cancel()
	}

	result, err := testImage(ctx, dockerCLI, o, opts)
	if err != nil {
		return err
	}
	if err := o.render.Print(dockerCLI.Out(), result.Record.Image.Manifest, result, runTable(result)); err != nil {
		return err
	}
	return verdict(result, o)
}

// testImage does the work under a progress display, which is gone before the
// result is printed.
func testImage(ctx context.Context, dockerCLI command.Cli, o runOptions, opts evidence.Options) (_ evidence.Result, rerr error) {
	shown, err := display.New(os.Stderr, o.progress, "testing")
	if err != nil {
		return evidence.Result{}, cliplugin.Usage(err)
	}
	defer func() {
		if err := shown.Close(); err != nil && rerr == nil {
			rerr = err
		}
	}()
	opts.Progress = shown
	t, err := resolve(ctx, dockerCLI, o.image, o.platform)
	if err != nil {
		return evidence.Result{}, err
	}
	opts.Subject, opts.Platform = t.subject, t.platform
	if o.attach {
		repository := t.subject.Reference.Name.Context()
		if opts.Attach, err = referrers.Open(ctx, repository, true, access(dockerCLI), referrers.Pace{}); err != nil {
			return evidence.Result{}, err
		}
	}
	runner, closeRunner, err := newRunner(ctx, dockerCLI, o, t, shown)
	if err != nil {
		return evidence.Result{}, err
	}
	defer closeRunner()
	opts.Runner = runner
	return evidence.Run(ctx, opts)
}

func readSuites(files []string) ([]*suite.Suite, error) {
	var mistakes fault.List
	var suites []*suite.Suite
	names := map[string]string{}
	for _, file := range files {
		data, err := readFile(file, suite.MaxSize)
		if err != nil {
			mistakes.Add(fmt.Errorf("reading the suite: %w", err))
			continue
		}
		s, err := suite.Parse(file, data)
		if err != nil {
			mistakes.Add(err)
			continue
		}
		if other, ok := names[s.Name]; ok {
			mistakes.Add(fmt.Errorf("%s and %s are both called %q", other, file, s.Name))
		}
		names[s.Name] = file
		suites = append(suites, s)
	}
	return suites, mistakes.Err()
}

// verdict turns what the record says into the command's answer.
func verdict(result evidence.Result, o runOptions) error {
	var list fault.List
	for _, s := range result.Record.Suites {
		for _, t := range s.Tests {
			if t.Status != record.Pass {
				list.Add(fmt.Errorf("%s: %s: %s", s.Name, t.Name, t.Reason))
			}
		}
	}
	err := list.Err()
	if o.recordDir == "" {
		err = hintLast(err, "keep the logs: --record-dir DIR")
	}
	switch result.Record.Status {
	case record.Pass:
		return nil
	case record.Fail:
		return cliplugin.Negative(err)
	}
	if hint := fault.HintOf(result.Trouble); hint != "" {
		return fault.Hint(result.Trouble, "%s", hint)
	}
	return err
}

// hintLast attaches a hint without hiding that err is a list.
func hintLast(err error, hint string) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		errs := many.Unwrap()
		errs[len(errs)-1] = fault.Hint(errs[len(errs)-1], "%s", hint)
		return errors.Join(errs...)
	}
	return fault.Hint(err, "%s", hint)
}
