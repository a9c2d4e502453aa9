package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/bundle"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/verify"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/render"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

type verifyOptions struct {
	image    string
	key      string
	types    []string
	platform string
	status   string
	records  []string
	render   render.Flags
}

// typeAliases are short names for predicate types.
var typeAliases = map[string]string{
	"compatibility": wire.PredicateCompatibility,
	"spdx":          wire.PredicateSPDX,
	"spdxjson":      wire.PredicateSPDX,
	"test-result":   wire.PredicateTestResult,
}

func newVerifyCommand(dockerCLI command.Cli) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [OPTIONS] IMAGE --key PUBLIC",
		Short: "Check the signed evidence about an image",
		Long: `Check the signed evidence about an image, with nothing but the public key and
read access to the registry. Every verdict comes from what the key has signed;
annotations are never believed. Bundles of other keys are listed as not trusted.

The newest compatibility record that the key has signed decides, of two of the
same second the worse one. Its logs and its SBOM must be attached too, byte for
byte; without them no older record takes its place.

With --record the bundles are read from files, and the registry is asked only if
IMAGE has no digest.` + cliplugin.ExitStatusHelp("no valid record, another status, or a missing type"),
		Example: `  docker evidence verify ghcr.io/org/app:1 --key evidence.pub
  docker evidence verify ghcr.io/org/app:1 --key evidence.pub --type spdx --type test-result
  docker evidence verify app@sha256:... --key evidence.pub --record records/x.compatibility.sigstore.json`,
		Args:              cli.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.image = args[0]
			if err := o.complete(); err != nil {
				return cliplugin.Usage(err)
			}
			return runVerify(cmd.Context(), dockerCLI, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "Public key (PEM)")
	f.StringArrayVar(&o.types, "type", nil, "Demand a statement of this predicate type too: a URI, or "+strings.Join(aliasNames(), ", "))
	f.StringVar(&o.status, "status", string(record.Pass), `Status that the record must have: "pass", "fail" or "error"`)
	f.StringArrayVar(&o.records, "record", nil, "Bundle file to read instead of the registry; can be given several times")
	addPlatformFlag(cmd, &o.platform)
	o.render.AddTo(cmd, "Print only the digest of the image's manifest")
	_ = cmd.MarkFlagFilename("key", "pub", "pem")
	_ = cmd.MarkFlagFilename("record", "json")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(aliasNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(record.Statuses, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func aliasNames() []string {
	var out []string
	for n := range typeAliases {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func (o *verifyOptions) complete() error {
	if err := o.render.Validate(verify.Report{}); err != nil {
		return err
	}
	if o.key == "" {
		return fault.Hint(errors.New("no public key given"), "add --key evidence.pub")
	}
	if !slices.Contains(record.Statuses, o.status) {
		return fmt.Errorf("--status %q is none of %s", o.status, strings.Join(record.Statuses, ", "))
	}
	for i, t := range o.types {
		if full, ok := typeAliases[t]; ok {
			o.types[i] = full
		} else if !strings.Contains(t, ":") {
			msg := fmt.Errorf("--type %q is neither a URI nor one of %s", t, strings.Join(aliasNames(), ", "))
			if near := fault.Nearest(t, aliasNames()); near != "" {
				return fault.Hint(msg, "did you mean %q?", near)
			}
			return msg
		}
	}
	return nil
}

func runVerify(ctx context.Context, dockerCLI command.Cli, o verifyOptions) error {
	public, err := readPublic(o.key)
	if err != nil {
		return err
	}
	opts := verify.Options{Key: public, Types: o.types, Status: record.Status(o.status)}
	var report verify.Report
	if len(o.records) > 0 {
		report, err = verifyFiles(ctx, dockerCLI, o, opts)
	} else {
		report, err = verifyRegistry(ctx, dockerCLI, o, opts)
	}
	if err != nil {
		return err
	}
	if err := o.render.Print(dockerCLI.Out(), report.Subject, report, verifyTable(report)); err != nil {
		return err
	}
	return cliplugin.Negative(report.Err())
}

func verifyRegistry(ctx context.Context, dockerCLI command.Cli, o verifyOptions, opts verify.Options) (verify.Report, error) {
	t, err := resolve(ctx, dockerCLI, o.image, o.platform)
	if err != nil {
		return verify.Report{}, err
	}
	if t.subject.Reference.Kind != image.Registry {
		return verify.Report{}, cliplugin.Usage(fault.Hint(fmt.Errorf("%s has no referrers to read", o.image), "name the bundles: --record FILE"))
	}
	repository, err := referrers.Open(ctx, t.subject.Reference.Name.Context(), false, access(dockerCLI), referrers.Pace{})
	if err != nil {
		return verify.Report{}, err
	}
	return verify.Verify(ctx, repository, t.platform.Descriptor.Digest, opts)
}

func verifyFiles(ctx context.Context, dockerCLI command.Cli, o verifyOptions, opts verify.Options) (verify.Report, error) {
	subject, err := subjectOf(ctx, dockerCLI, o)
	if err != nil {
		return verify.Report{}, err
	}
	files := map[string][]byte{}
	for _, path := range o.records {
		data, err := readFile(path, bundle.MaxSize)
		if err != nil {
			return verify.Report{}, fmt.Errorf("reading the bundle: %w", err)
		}
		files[path] = data
	}
	return verify.VerifyFiles(files, subject, opts), nil
}

// subjectOf takes a digest as given: asking a registry would only confirm it.
func subjectOf(ctx context.Context, dockerCLI command.Cli, o verifyOptions) (v1.Hash, error) {
	ref, err := image.Parse(o.image)
	if err != nil {
		return v1.Hash{}, cliplugin.Usage(err)
	}
	if d, ok := ref.Name.(name.Digest); ok && o.platform == "" {
		return v1.NewHash(d.DigestStr())
	}
	t, err := resolve(ctx, dockerCLI, o.image, o.platform)
	return t.platform.Descriptor.Digest, err
}

func verifyTable(r verify.Report) func(io.Writer) error {
	return func(w io.Writer) error {
		fmt.Fprintf(w, "Image:\t%s\n", r.Subject)
		if r.Record != nil {
			fmt.Fprintf(w, "Status:\t%s\nPlatform:\t%s\nFinished:\t%s\n", r.Record.Status, printable(r.Record.Platform), r.Record.Finished.Format("2006-01-02 15:04:05Z"))
			if r.Record.Manifest != nil {
				fmt.Fprintf(w, "Manifest:\t%s\n", r.Record.Manifest.ID)
			}
		}
		fmt.Fprintf(w, "\nBUNDLE\tTRUSTED\tTYPE\tSTATUS\tPROBLEM\n")
		for _, e := range r.Entries {
			trusted := "no"
			if e.Trusted {
				trusted = "yes"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Digest, trusted, orDash(e.Type), orDash(string(e.Status)), orDash(e.Problem))
		}
		return nil
	}
}

// orDash makes a cell of a table of what an image or a registry says.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}

// printable spells out whatever could reach the terminal as a control sequence
// or break a table.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}
