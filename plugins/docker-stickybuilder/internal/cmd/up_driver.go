package cmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/buildkit"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// driverFlags say what runs the daemon, and with which rights.
type driverFlags struct {
	driver       string
	endpoint     string
	options      []string
	platforms    []string
	entitlements []string
}

func (f *driverFlags) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.driver, "driver", sticky.AutoDriver, "What runs buildkitd: "+strings.Join(sticky.Drivers, ", "))
	flags.StringVar(&f.endpoint, "endpoint", "", `Address of the buildkitd of --driver remote, "tcp://HOST:PORT" or "unix:///PATH"`)
	flags.StringArrayVar(&f.options, "driver-opt", nil, `Options of buildx's docker-container driver, "image=moby/buildkit:v0.33.0", or remote driver, "cacert=PATH" (repeatable)`)
	flags.StringSliceVar(&f.platforms, "platform", nil, "Platforms that the builder is said to have (default: those of buildkitd)")
	flags.StringArrayVar(&f.entitlements, "allow-insecure-entitlement", nil, "What builds may ask for: "+strings.Join(daemon.Entitlements, ", ")+" (repeatable; default: nothing)")
	_ = cmd.RegisterFlagCompletionFunc("driver", cobra.FixedCompletions(sticky.Drivers, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("endpoint", cobra.FixedCompletions([]string{"tcp://", "unix:///"}, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("driver-opt", cobra.FixedCompletions([]string{"image=", "network=", "memory=", "cpuset-cpus=", "env.", "cacert=", "cert=", "key=", "servername="}, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp))
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
	if up.Driver == sticky.RemoteDriver {
		if err := f.remote(up); err != nil {
			return cliplugin.Usage(err)
		}
	}
	switch {
	case f.endpoint != "" && up.Driver != sticky.RemoteDriver:
		return cliplugin.Usage(fault.Hint(errors.New("--endpoint is for --driver remote"), "did you mean --driver remote --endpoint %s", f.endpoint))
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

// remote checks what is for somebody else's daemon. Certificates may be named from here,
// but buildx wants to know where they are from anywhere.
func (f driverFlags) remote(up *sticky.UpOptions) error {
	if f.endpoint == "" {
		return fault.Hint(errors.New("--driver remote needs the address of a buildkitd"), "name it: --endpoint tcp://HOST:PORT or unix:///PATH")
	}
	if up.Disk != "" && up.Disk != disk.None {
		return fault.Hint(fmt.Errorf("--disk %s: a remote builder has no disk, since its state is the other machine's", up.Disk), "leave --disk out")
	}
	if err := sticky.CheckEndpoint(f.endpoint, up.DriverOptions); err != nil {
		return err
	}
	for _, name := range []string{"cacert", "cert", "key"} {
		if up.DriverOptions[name] == "" {
			continue
		}
		path, err := filepath.Abs(up.DriverOptions[name])
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return fmt.Errorf("--driver-opt %s: %w", name, err)
		}
		up.DriverOptions[name] = path
	}
	up.Endpoint, up.Disk = f.endpoint, disk.None
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
