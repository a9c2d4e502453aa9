// Package container keeps what a docker engine has of a builder with buildx's
// docker-container driver: the volume by which the container gets the disk, the
// connection to the daemon in it, its end, and the removal of both. The container
// itself is made by buildx.
package container

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// ErrForeign means that the engine has something of that name which is somebody
// else's.
var ErrForeign = errors.New("the name is taken")

// Owner is the variable in the container's environment, and the label of the
// volume, that say whose they are.
const (
	Owner = "DOCKER_STICKYBUILDER"
	label = "dev.dockerfactory.stickybuilder"
)

// Name is what buildx calls the container of a node.
func Name(node string) string { return "buildx_buildkit_" + node }

// Volume is what buildx calls the volume with the state of a node.
func Volume(node string) string { return Name(node) + "_state" }

// Places are where the daemon has its own in any container.
var Places = daemon.Places{Root: "/var/lib/buildkit", Socket: "/run/buildkit/buildkitd.sock", Trace: "/run/buildkit/otel-grpc.sock"}

// An Engine is a docker engine.
type Engine struct {
	api  *client.Client
	host string
}

// answerTime bounds requests that an engine answers at once.
const answerTime = 20 * time.Second

// Connect connects to the engine on host, "unix:///run/docker.sock", and makes
// sure that it answers. The caller closes it. An engine elsewhere could not be
// given a directory of this machine, and is refused.
func Connect(ctx context.Context, host string) (*Engine, error) {
	if !strings.HasPrefix(host, "unix://") {
		return nil, fault.Hint(fmt.Errorf("using the docker engine at %s: it is not on this machine, so it cannot be given the disk", host),
			"use one on a unix socket: docker context use default; or run the command on the engine's machine")
	}
	return connect(ctx, host, client.WithHost(host))
}

// Reach says how the engine at an address is reached, wherever it is. The address is
// what docker buildx takes: the name of a docker context, or such as "ssh://host".
type Reach func(address string) ([]client.Opt, error)

// ConnectAnywhere connects to the engine at an address, and makes sure that it answers.
// The caller closes it.
func ConnectAnywhere(ctx context.Context, address string, reach Reach) (*Engine, error) {
	options, err := reach(address)
	if err != nil {
		return nil, fmt.Errorf("using the docker engine at %s: %w", address, err)
	}
	return connect(ctx, address, options...)
}

func connect(ctx context.Context, host string, options ...client.Opt) (*Engine, error) {
	api, err := client.New(options...)
	if err != nil {
		return nil, fmt.Errorf("using the docker engine at %s: %w", host, err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if _, err := api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		_ = api.Close()
		return nil, fault.Hint(fmt.Errorf("using the docker engine at %s: it does not answer: %w", host, err),
			"start it: systemctl start docker; or name another one by DOCKER_HOST or docker context use")
	}
	return &Engine{api, host}, nil
}

// Close ends the connection.
func (e *Engine) Close() error { return e.api.Close() }

// Claim makes sure that the names of a node are free. What a former builder of
// owner has left is removed; anything else gives ErrForeign.
func (e *Engine) Claim(ctx context.Context, node, owner string) error {
	if err := e.Remove(ctx, node, owner); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	switch _, err := e.api.ContainerInspect(ctx, Name(node), client.ContainerInspectOptions{}); {
	case err == nil:
		return foreign("container", Name(node), "docker rm -f")
	case !cerrdefs.IsNotFound(err):
		return fmt.Errorf("looking for container %s: %w", Name(node), err)
	}
	switch _, err := e.api.VolumeInspect(ctx, Volume(node), client.VolumeInspectOptions{}); {
	case err == nil:
		return foreign("volume", Volume(node), "docker volume rm")
	case !cerrdefs.IsNotFound(err):
		return fmt.Errorf("looking for volume %s: %w", Volume(node), err)
	}
	return nil
}

func foreign(kind, name, remove string) error {
	return fault.Hint(fmt.Errorf("using the %s %s: %w: it is not of this builder", kind, name, ErrForeign),
		"choose another NAME for the builder, or remove it if nobody needs it: %s %s", remove, name)
}

// MakeVolume makes the volume that buildx is going to mount as the state of the
// node: the directory root, an absolute path of this machine.
func (e *Engine) MakeVolume(ctx context.Context, node, owner, root string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err := e.api.VolumeCreate(ctx, client.VolumeCreateOptions{
		Name: Volume(node), Driver: "local", Labels: map[string]string{label: owner},
		DriverOpts: map[string]string{"type": "none", "o": "bind", "device": root},
	})
	if err != nil {
		return fmt.Errorf("making volume %s for %s: %w", Volume(node), root, err)
	}
	return nil
}

// Remove removes the container and the volume of a node if they are owner's, with
// whatever runs in the container. What is in the disk's directory stays.
func (e *Engine) Remove(ctx context.Context, node, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := e.api.ContainerInspect(ctx, Name(node), client.ContainerInspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("looking for container %s: %w", Name(node), err)
	case c.Container.Config != nil && has(c.Container.Config.Env, Owner+"="+owner):
		// Not RemoveVolumes, which is for those without a name.
		_, err := e.api.ContainerRemove(ctx, c.Container.ID, client.ContainerRemoveOptions{Force: true})
		if err != nil && !cerrdefs.IsNotFound(err) && !cerrdefs.IsConflict(err) {
			return fmt.Errorf("removing container %s: %w", Name(node), err)
		}
	default:
		return nil // and so the volume is not ours either
	}
	v, err := e.api.VolumeInspect(ctx, Volume(node), client.VolumeInspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("looking for volume %s: %w", Volume(node), err)
	case v.Volume.Labels[label] != owner:
		return nil
	}
	// A removal of the container by somebody else may still be under way.
	for {
		_, err = e.api.VolumeRemove(ctx, Volume(node), client.VolumeRemoveOptions{})
		if err == nil || cerrdefs.IsNotFound(err) {
			return nil
		}
		if !cerrdefs.IsConflict(err) || !sleep(ctx, 100*time.Millisecond) {
			return fmt.Errorf("removing volume %s: %w", Volume(node), err)
		}
	}
}

func has(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
