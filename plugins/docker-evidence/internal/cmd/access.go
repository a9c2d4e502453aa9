package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/dockerauth"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

func access(cli command.Cli) image.Options {
	return image.Options{Keychain: dockerauth.Keychain(cli.ConfigFile()), UserAgent: userAgent + cliplugin.Version()}
}

// target is one platform's image, fixed by digest.
type target struct {
	subject  image.Subject
	platform image.PlatformImage
}

func resolve(ctx context.Context, cli command.Cli, name, platform string) (target, error) {
	ref, err := image.Parse(name)
	if err == nil {
		err = ref.Only(image.Registry, image.Layout)
	}
	if err != nil {
		return target{}, cliplugin.Usage(err)
	}
	s, err := image.Resolve(ctx, ref, access(cli))
	if err != nil {
		return target{}, err
	}
	p, err := image.Platform(s, platform, "linux/"+runtime.GOARCH)
	if err != nil {
		return target{}, fmt.Errorf("choosing the platform of %s: %w", name, err)
	}
	return target{s, p}, nil
}

func addPlatformFlag(cmd *cobra.Command, platform *string) {
	cmd.Flags().StringVar(platform, "platform", "", "Platform of the image, such as linux/arm64 (default: the only one, or this machine's)")
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions([]string{"linux/amd64", "linux/arm64"}, cobra.ShellCompDirectiveNoFileComp))
}

// maxKeyFile bounds key files.
const maxKeyFile = 1 << 20

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1)) // devices and pipes have no size
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, err
}

func readPrivate(path string) (*key.Private, error) {
	data, err := readFile(path, maxKeyFile)
	if err != nil {
		return nil, fault.Hint(fmt.Errorf("reading the key: %w", err), "make one: docker evidence key generate")
	}
	k, err := key.ParsePrivate(data, []byte(os.Getenv("COSIGN_PASSWORD")))
	if err != nil {
		return nil, fmt.Errorf("reading key %s: %w", path, err)
	}
	return k, nil
}

func readPublic(path string) (*key.Public, error) {
	data, err := readFile(path, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the public key: %w", err)
	}
	k, err := key.ParsePublic(data)
	if err != nil {
		return nil, fmt.Errorf("reading key %s: %w", path, err)
	}
	return k, nil
}

// clock is the machine's, or stands still at SOURCE_DATE_EPOCH, so that a run can
// be repeated to the byte (reproducible-builds.org/specs/source-date-epoch).
func clock() (func() time.Time, error) {
	v := os.Getenv("SOURCE_DATE_EPOCH")
	if v == "" {
		return time.Now, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", v)
	}
	return func() time.Time { return time.Unix(n, 0) }, nil
}
