package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/shared/buildkit"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// driverFlags say what runs the daemon, and with which rights.
type driverFlags struct {
	driver       string
	options      []string
	platforms    []string
	entitlements []string
}

func (f *driverFlags) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.driver, "driver", sticky.AutoDriver, "What runs buildkitd: "+strings.Join(sticky.Drivers, ", "))
	flags.StringArrayVar(&f.options, "driver-opt", nil, `Options of buildx's docker-container driver, "image=moby/buildkit:v0.33.0" (repeatable)`)
	flags.StringSliceVar(&f.platforms, "platform", nil, "Platforms that the builder is said to have (default: those of buildkitd)")
	flags.StringArrayVar(&f.entitlements, "allow-insecure-entitlement", nil, "What builds may ask for: "+strings.Join(daemon.Entitlements, ", ")+" (repeatable; default: nothing)")
	_ = cmd.RegisterFlagCompletionFunc("driver", cobra.FixedCompletions(sticky.Drivers, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("driver-opt", cobra.FixedCompletions([]string{"image=", "network=", "memory=", "cpuset-cpus=", "env."}, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions([]string{"linux/amd64", "linux/arm64"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("allow-insecure-entitlement", cobra.FixedCompletions(daemon.Entitlements, cobra.ShellCompDirectiveNoFileComp))
}

// resolve checks the flags and fills in what they mean.
func (f driverFlags) resolve(dockerCLI command.Cli, up *sticky.UpOptions) (err error) {
	if up.Driver, err = sticky.ParseDriver(f.driver); err != nil {
		return cliplugin.Usage(err)
	}
	if up.DriverOptions, err = driverOptions(f.options); err != nil {
		return cliplugin.Usage(err)
	}
	switch {
	case up.Buildkitd != "" && up.Driver == sticky.ContainerDriver:
		return cliplugin.Usage(errors.New("--buildkitd is for --driver process: the container's image has its own"))
	case len(f.options) > 0 && (up.Driver == sticky.ProcessDriver || up.Buildkitd != ""):
		return cliplugin.Usage(errors.New("--driver-opt is for --driver docker-container"))
	}
	for _, p := range f.platforms {
		if _, err := platforms.Parse(p); err != nil {
			return cliplugin.Usage(fault.Hint(fmt.Errorf("parsing --platform %q: %w", p, err), "write it like linux/arm64"))
		}
	}
	for _, e := range f.entitlements {
		if err := daemon.CheckEntitlement(e); err != nil {
			return cliplugin.Usage(fmt.Errorf("--allow-insecure-entitlement: %w", err))
		}
	}
	up.Platforms, up.Entitlements = f.platforms, slices.Compact(slices.Sorted(slices.Values(f.entitlements)))
	up.Engine = dockerCLI.DockerEndpoint().Host
	if program, args, err := buildkit.BuildxCommand(dockerCLI); err == nil {
		up.Buildx = append([]string{program}, args...)
	}
	return nil
}

// own are options that the builder sets itself, by reason.
var own = map[string]string{
	"restart-policy": "a daemon that the engine starts again would go on without a witness",
}

func driverOptions(values []string) (map[string]string, error) {
	out := map[string]string{}
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, fault.Hint(fmt.Errorf("parsing --driver-opt %q: it has no value", v), "write NAME=VALUE")
		}
		if why := own[name]; why != "" {
			return nil, fmt.Errorf("--driver-opt %s: it cannot be set: %s", name, why)
		}
		out[name] = value
	}
	return out, nil
}
