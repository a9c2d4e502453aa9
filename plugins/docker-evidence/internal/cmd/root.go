// Package cmd is the command line of docker evidence: it turns flags into
// options, wires the user's engine, builder, credentials and clock to the domain
// packages, and prints what comes back.
package cmd

import (
	"github.com/containerd/log"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/early"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
)

// New returns the root command.
func New(cli command.Cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "evidence",
		Short: "Test an image by digest and leave signed proof next to it",
		Long: `Test an image by digest and leave signed proof next to it: smoke tests with
their logs, an SBOM and a compatibility record, signed with a key and attached to
the image in its registry, where cosign and oras find them too.` + cliplugin.ExitStatusHelp("the tests failed, or the evidence is missing or not valid"),
		PersistentPreRunE: func(*cobra.Command, []string) error {
			early.Settle()
			_ = log.SetLevel("error") // containerd's content store warns of what it does without
			return nil
		},
	}
	root.AddCommand(newRunCommand(cli), newVerifyCommand(cli), newMatrixCommand(cli), newKeyCommand(cli))
	return root
}

const userAgent = "docker-evidence/"
