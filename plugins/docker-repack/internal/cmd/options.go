package cmd

import (
	"fmt"
	"runtime"

	"github.com/docker/cli/cli/command"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/dockerauth"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// platformNames are what completion offers.
var platformNames = []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/riscv64", "linux/s390x"}

// workFlags are the flags of every command that reads images.
type workFlags struct {
	platforms []string
	jobs      int
}

func (f *workFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.platforms, "platform", nil, `Images of an index to choose, such as "linux/amd64,linux/arm64" (default all)`)
	cmd.Flags().IntVar(&f.jobs, "jobs", 0, "Number of layers to work on at a time; the result does not depend on it (default the number of processors)")
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions(platformNames, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("jobs", cobra.NoFileCompletions)
}

func (f *workFlags) parse() ([]v1.Platform, error) {
	if f.jobs < 0 {
		return nil, cliplugin.Usage(fmt.Errorf("--jobs %d: must be 1 or more", f.jobs))
	}
	if f.jobs == 0 {
		f.jobs = runtime.GOMAXPROCS(0)
	}
	var out []v1.Platform
	for _, s := range f.platforms {
		p, err := v1.ParsePlatform(s)
		if err != nil || p.OS == "" || p.Architecture == "" {
			return nil, cliplugin.Usage(fault.Hint(fmt.Errorf("--platform %q: not a platform", s), "write OS/ARCH[/VARIANT], such as linux/arm64"))
		}
		out = append(out, *p)
	}
	return out, nil
}

func imageOptions(dockerCLI command.Cli, jobs int) image.Options {
	return image.Options{
		Keychain:  dockerauth.Keychain(dockerCLI.ConfigFile()),
		UserAgent: "docker-repack/" + cliplugin.Version(),
		Jobs:      jobs,
	}
}
