// Package cmd holds the commands of docker stitch, one verb in each file.
package cmd

import (
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// New returns the root command.
func New(cli command.Cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "stitch",
		Short: "Render Dockerfiles from manifests, verify and build them",
		Long: `Render Dockerfiles from manifests, verify and build them.

A manifest says which template and which versions of which fragments make up an
image. All of it is covered by one digest, the manifest id, which stands in the
rendered Dockerfile and in a label of the image: so what was built can be compared
with what is declared.

Manifests are read from stitch.yaml, or from the store of a Factory checkout
(control_plane/data/manifest.json).`,
	}
	root.AddCommand(newRender(cli), newVerify(cli), newCheck(cli), newBuild(cli))
	return root
}
