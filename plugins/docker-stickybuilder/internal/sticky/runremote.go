package sticky

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// RemoteOptions are those of buildx's remote driver.
var RemoteOptions = []string{"cacert", "cert", "key", "servername", "default-load"}

// CheckEndpoint says what is wrong with the address of a remote daemon and its
// options, as buildx's remote driver would.
func CheckEndpoint(address string, options map[string]string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("parsing --endpoint: %w", err)
	case u.Scheme == "tcp" && u.Host != "", u.Scheme == "unix" && strings.HasPrefix(u.Path, "/") && u.Host == "":
	default:
		return fault.Hint(fmt.Errorf("parsing --endpoint %q: it is no address of a buildkitd", address), "write tcp://HOST:PORT or unix:///PATH")
	}
	for name := range options {
		if !slices.Contains(RemoteOptions, name) {
			err := fmt.Errorf("--driver-opt %s: the remote driver has no such option", name)
			if near := fault.Nearest(name, RemoteOptions); near != "" {
				return fault.Hint(err, "did you mean %s", near)
			}
			return fault.Hint(err, "options: %s", strings.Join(RemoteOptions, ", "))
		}
	}
	tls := secured(options)
	switch {
	case tls && u.Scheme == "unix":
		return errors.New("--driver-opt: certificates are for --endpoint tcp://HOST:PORT")
	case tls && options["cacert"] == "":
		return errors.New("--driver-opt: certificates need cacert=PATH, who has signed the daemon's")
	case (options["cert"] == "") != (options["key"] == ""):
		return errors.New("--driver-opt: cert=PATH and key=PATH belong together")
	}
	return nil
}

func secured(options map[string]string) bool {
	return options["cacert"] != "" || options["cert"] != "" || options["key"] != "" || options["servername"] != ""
}

// dialRemote connects to somebody else's daemon.
func dialRemote(ctx context.Context, address string, options map[string]string) (*client.Client, error) {
	var with []client.ClientOpt
	if secured(options) {
		name := options["servername"]
		if u, err := url.Parse(address); err == nil && name == "" {
			name = u.Hostname()
		}
		with = append(with, client.WithServerConfig(name, options["cacert"]))
		if options["cert"] != "" {
			with = append(with, client.WithCredentials(options["cert"], options["key"]))
		}
	}
	c, err := client.New(ctx, address, with...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the buildkitd at %s: %w", address, err)
	}
	return c, nil
}

// remoteTime bounds how long the daemon may take to answer once.
const remoteTime = 10 * time.Second

// checkRemote says why the daemon cannot be used.
func checkRemote(ctx context.Context, o UpOptions) error {
	c, err := dialRemote(ctx, o.Endpoint, o.DriverOptions)
	if err != nil {
		return err
	}
	defer c.Close()
	ask, cancel := context.WithTimeout(ctx, remoteTime)
	defer cancel()
	if _, err := daemon.Ask(ask, c); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fault.Hint(fmt.Errorf("connecting to the buildkitd at %s: %w", o.Endpoint, err),
			"is it up, reachable from here, and are these its certificates? see buildctl --addr %s debug workers", o.Endpoint)
	}
	return nil
}

// runRemote connects to the daemon and leaves it as it is.
func (s *supervisor) runRemote(ctx context.Context) error {
	c, err := dialRemote(context.WithoutCancel(ctx), s.inst.Endpoint, s.inst.DriverOptions)
	if err != nil {
		return err
	}
	s.client, s.daemon = c, elsewhere{}
	about, err := daemon.Answer(ctx, c, s.inst.ReadyTimeout)
	s.run.BuildkitVersion, s.run.Snapshotter = about.Version, about.Snapshotter
	return err
}

// elsewhere is a daemon that others run: it ends when they want it to. What it does not
// finish is found out at the end.
type elsewhere struct{}

func (elsewhere) Done() <-chan struct{}                                   { return nil }
func (elsewhere) Verdict() string                                         { return "running" }
func (elsewhere) Stop(context.Context, time.Duration) (daemon.End, error) { return daemon.Clean, nil }

// remoteDrain bounds how long down waits for builds on a daemon that goes on anyway,
// and that may be others'.
const remoteDrain = 2 * time.Second
