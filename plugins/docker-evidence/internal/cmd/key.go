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
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/render"
)

func newKeyCommand(dockerCLI command.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Manage signing keys",
		Long:  "Manage signing keys." + cliplugin.ExitStatusHelp(""),
	}
	cmd.AddCommand(newKeyGenerateCommand(dockerCLI))
	return cmd
}

// A generatedKey is what key generate prints.
type generatedKey struct {
	Private string `json:"private"`
	Public  string `json:"public"`
	Hint    string `json:"hint"` // how bundles name the key
}

func newKeyGenerateCommand(dockerCLI command.Cli) *cobra.Command {
	var prefix string
	var out render.Flags
	cmd := &cobra.Command{
		Use:   "generate [OPTIONS]",
		Short: "Make a key pair to sign and verify evidence with",
		Long: `Make a key pair to sign and verify evidence with: ECDSA on P-256, the private key
as PKCS #8 without a password, readable by its owner only. Existing files are
never overwritten.` + cliplugin.ExitStatusHelp(""),
		Example:           "  docker evidence key generate --output-prefix ci",
		Args:              cli.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			if err := out.Validate(generatedKey{}); err != nil {
				return cliplugin.Usage(err)
			}
			made, err := generateKey(prefix)
			if err != nil {
				return fmt.Errorf("writing the key: %w", err)
			}
			return out.Print(dockerCLI.Out(), made.Public, made, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Private key:\t%s\nPublic key:\t%s\n", made.Private, made.Public)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&prefix, "output-prefix", "evidence", "Write PREFIX.key and PREFIX.pub")
	out.AddTo(cmd, "Print only the path of the public key")
	return cmd
}

func generateKey(prefix string) (generatedKey, error) {
	private, public, err := key.Generate()
	if err != nil {
		return generatedKey{}, err
	}
	parsed, err := key.ParsePublic(public)
	if err != nil {
		return generatedKey{}, err
	}
	made := generatedKey{prefix + ".key", prefix + ".pub", parsed.Hint()}
	if err := writeNew(made.Private, private, 0o600); err != nil {
		return generatedKey{}, err
	}
	if err := writeNew(made.Public, public, 0o644); err != nil {
		_ = os.Remove(made.Private) // half a pair is of no use
		return generatedKey{}, err
	}
	return made, nil
}

func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fault.Hint(err, "choose other names: --output-prefix PREFIX")
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}
