// Package buildkit finds the builder that the user has chosen for docker buildx
// and connects to the BuildKit daemon behind it.
//
// Builders with the remote driver on one local or TCP endpoint, such as those of
// docker stickybuilder, are dialled directly. Every other driver is reached
// through "docker buildx dial-stdio", which boots the builder if need be; so
// buildx's driver packages, half of Kubernetes among them, stay out of the
// plugins.
package buildkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/docker/buildx/store"
	"github.com/docker/buildx/util/confutil"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/connhelper/commandconn"
	"github.com/docker/cli/cli/context/docker"
	"github.com/moby/buildkit/client"
	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Builder is an entry of the user's buildx store or, as buildx has it, a docker
// context used as a builder.
type Builder struct {
	Name   string
	Driver string // "remote", "docker-container", …; "docker" for a context
	node   store.Node
	cli    command.Cli
}

// AddFlag adds --builder, with its completion, to cmd.
func AddFlag(cmd *cobra.Command, cli command.Cli, name *string) {
	cmd.Flags().StringVar(name, "builder", "", "Builder to use (default: $BUILDX_BUILDER, then the current builder)")
	_ = cmd.RegisterFlagCompletionFunc("builder", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		txn, release, err := open(cli)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer release()
		return names(txn), cobra.ShellCompDirectiveNoFileComp
	})
}

// Find returns the builder called name; with name "", the one in BUILDX_BUILDER;
// with that unset, the current builder of the docker context. It does not
// connect.
func Find(cli command.Cli, name string) (*Builder, error) {
	if name == "" {
		name = os.Getenv("BUILDX_BUILDER")
	}
	txn, release, err := open(cli)
	if err != nil {
		return nil, err
	}
	defer release()

	group, err := lookup(txn, cli, name)
	if err != nil {
		return nil, err
	}
	if group == nil {
		return &Builder{Name: cli.CurrentContext(), Driver: "docker", cli: cli}, nil
	}
	b := &Builder{Name: group.Name, Driver: group.Driver, cli: cli}
	if len(group.Nodes) == 1 {
		b.node = group.Nodes[0]
	}
	return b, nil
}

func open(cli command.Cli) (*store.Txn, func(), error) {
	s, err := store.New(confutil.NewConfig(cli))
	if err != nil {
		return nil, nil, fmt.Errorf("opening the buildx store: %w", err)
	}
	txn, release, err := s.Txn()
	if err != nil {
		return nil, nil, fmt.Errorf("locking the buildx store: %w", err)
	}
	return txn, release, nil
}

// lookup returns nil, and no error, for a docker context.
func lookup(txn *store.Txn, cli command.Cli, name string) (*store.NodeGroup, error) {
	if name == "" {
		key, err := CurrentKey(cli)
		if err != nil {
			return nil, err
		}
		group, err := txn.Current(key)
		if err != nil {
			return nil, fmt.Errorf("reading the current builder: %w", err)
		}
		return group, nil
	}
	group, err := txn.NodeGroupByName(name)
	if err == nil {
		return group, nil
	}
	if !errors.Is(err, os.ErrNotExist) && !store.IsErrInvalidName(err) {
		return nil, fmt.Errorf("reading builder %s: %w", name, err)
	}
	if name == cli.CurrentContext() {
		return nil, nil
	}
	hint := "list builders: docker buildx ls"
	if near := fault.Nearest(name, names(txn)); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return nil, fault.Hint(fmt.Errorf("no builder called %q", name), "%s", hint)
}

func names(txn *store.Txn) []string {
	groups, err := txn.List()
	if err != nil {
		return nil
	}
	var out []string
	for _, g := range groups {
		out = append(out, g.Name)
	}
	return out
}

// CurrentKey returns the key under which buildx keeps the current builder of the
// docker context in use: the context's name or, for the default context, its
// host (dockerutil.GetCurrentEndpoint in docker/buildx).
func CurrentKey(cli command.Cli) (string, error) {
	name := cli.CurrentContext()
	if name != command.DefaultContextName {
		return name, nil
	}
	meta, err := cli.ContextStore().GetMetadata(name)
	if err != nil {
		return "", fmt.Errorf("reading docker context %s: %w", name, err)
	}
	endpoint, err := docker.EndpointFromContext(meta)
	if err != nil {
		return "", fmt.Errorf("reading docker context %s: %w", name, err)
	}
	return endpoint.Host, nil
}

// answerTimeout bounds the wait for a daemon's first answer.
const answerTimeout = 30 * time.Second

// Dial connects to the builder's daemon and makes sure that it answers. The
// caller closes the client.
func (b *Builder) Dial(ctx context.Context) (*client.Client, error) {
	c, err := b.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to builder %s: %w", b.Name, err)
	}
	probe, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, err := c.ListWorkers(probe); err != nil {
		_ = c.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fault.Hint(fmt.Errorf("connecting to builder %s: %w", b.Name, err), "%s", b.hint())
	}
	return c, nil
}

func (b *Builder) hint() string {
	if b.Driver == "docker" {
		return "start a builder: docker stickybuilder up"
	}
	return fmt.Sprintf("look at it: docker buildx inspect %s; or start another: docker stickybuilder up", b.Name)
}

func (b *Builder) connect(ctx context.Context) (*client.Client, error) {
	if b.direct() {
		return client.New(ctx, b.node.Endpoint, tlsOptions(b.node.DriverOpts)...)
	}
	program, args, err := BuildxCommand(b.cli)
	if err != nil {
		return nil, err
	}
	args = append(args, "dial-stdio", "--builder", b.Name)
	return client.New(ctx, "", client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return commandconn.New(ctx, program, args...)
	}))
}

// direct reports whether the daemon listens on an address that needs no helper.
func (b *Builder) direct() bool {
	return b.Driver == "remote" &&
		(strings.HasPrefix(b.node.Endpoint, "unix://") || strings.HasPrefix(b.node.Endpoint, "tcp://"))
}

func tlsOptions(driver map[string]string) []client.ClientOpt {
	if driver["cacert"] == "" {
		return nil
	}
	opts := []client.ClientOpt{client.WithServerConfig(driver["servername"], driver["cacert"])}
	if driver["cert"] != "" {
		opts = append(opts, client.WithCredentials(driver["cert"], driver["key"]))
	}
	return opts
}
