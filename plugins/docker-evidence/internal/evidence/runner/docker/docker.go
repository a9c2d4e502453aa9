// Package docker runs processes in containers of a docker engine.
package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	engine "github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// An Engine is the part of the engine's API that is used; *client.Client has it.
type Engine interface {
	Info(ctx context.Context, o engine.InfoOptions) (engine.SystemInfoResult, error)
	ImageInspect(ctx context.Context, image string, o ...engine.ImageInspectOption) (engine.ImageInspectResult, error)
	ImagePull(ctx context.Context, ref string, o engine.ImagePullOptions) (engine.ImagePullResponse, error)
	ImageRemove(ctx context.Context, image string, o engine.ImageRemoveOptions) (engine.ImageRemoveResult, error)
	ContainerCreate(ctx context.Context, o engine.ContainerCreateOptions) (engine.ContainerCreateResult, error)
	ContainerAttach(ctx context.Context, container string, o engine.ContainerAttachOptions) (engine.ContainerAttachResult, error)
	ContainerStart(ctx context.Context, container string, o engine.ContainerStartOptions) (engine.ContainerStartResult, error)
	ContainerWait(ctx context.Context, container string, o engine.ContainerWaitOptions) engine.ContainerWaitResult
	ContainerRemove(ctx context.Context, container string, o engine.ContainerRemoveOptions) (engine.ContainerRemoveResult, error)
}

// A Runner runs processes of one image on an engine.
//
// The image is pulled by digest if the engine does not have it under that digest,
// and then removed again: layers that other images use stay, and what the user
// had stays as it was.
type Runner struct {
	Engine   Engine
	Subject  runner.Subject
	Auth     func() (string, error) // credentials for the pull, as the engine's API takes them
	Progress progress.Reporter
}

var _ smoke.Runner = (*Runner)(nil)

// cleanupTime bounds what is done after the work, or after it was interrupted.
const cleanupTime = 30 * time.Second

// Use implements smoke.Runner.
func (r *Runner) Use(ctx context.Context, fn func(context.Context, smoke.Image) error) (rerr error) {
	if r.Subject.Reference == "" {
		return fault.Hint(errors.New("a docker engine cannot read an OCI layout"), "use the builder: --runner buildkit")
	}
	info, err := r.Engine.Info(ctx, engine.InfoOptions{})
	if err != nil {
		return fault.Hint(fmt.Errorf("asking the docker engine: %w", err), "is it running? or use the builder: --runner buildkit")
	}
	id, pulled, err := r.provide(ctx)
	if pulled {
		defer func() {
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
			defer cancel()
			_, err := r.Engine.ImageRemove(clean, r.Subject.Reference, engine.ImageRemoveOptions{})
			if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) && rerr == nil {
				rerr = fmt.Errorf("removing %s from the engine: %w", r.Subject.Reference, err)
			}
		}()
	}
	if err != nil {
		return err
	}
	host := record.Host{
		OS: info.Info.OSType, Arch: info.Info.Architecture, Kernel: info.Info.KernelVersion,
		Runner: "docker", Version: info.Info.ServerVersion,
	}
	if err := fn(ctx, &containers{r, id, host}); err != nil {
		return err
	}
	after, err := r.inspect(ctx)
	if errdefs.IsNotFound(err) {
		return nil // another run has cleaned up; the containers were made from the id
	}
	if err != nil {
		return fmt.Errorf("checking the engine's image after the tests: %w", err)
	}
	if after != id {
		return fmt.Errorf("the engine's image changed during the tests: %s is %s now, was %s", r.Subject.Reference, after, id)
	}
	return nil
}

// provide returns the engine's id of the subject, after a pull if need be.
func (r *Runner) provide(ctx context.Context) (id string, pulled bool, err error) {
	id, err = r.inspect(ctx)
	if errdefs.IsNotFound(err) {
		if err := r.pull(ctx); err != nil {
			// A pull that was interrupted may still have come to its end.
			return "", true, fault.Hint(fmt.Errorf("pulling %s into the engine: %w", r.Subject.Reference, err),
				"the engine must reach the registry too; or use the builder: --runner buildkit")
		}
		pulled = true
		id, err = r.inspect(ctx)
	}
	if err != nil {
		return "", pulled, fmt.Errorf("inspecting %s in the engine: %w", r.Subject.Reference, err)
	}
	return id, pulled, nil
}

// inspect returns the id of the image that the engine has under the subject's
// reference, checked against the subject: engines with the containerd image store
// name an image by its manifest, the others by its config.
func (r *Runner) inspect(ctx context.Context) (string, error) {
	image, err := r.Engine.ImageInspect(ctx, r.Subject.Reference)
	if err != nil {
		return "", err
	}
	if image.ID != r.Subject.Manifest.String() && image.ID != r.Subject.Config.String() {
		return "", fmt.Errorf("the engine has image %s, neither manifest %s nor config %s", image.ID, r.Subject.Manifest, r.Subject.Config)
	}
	return image.ID, nil
}

func (r *Runner) pull(ctx context.Context) error {
	reporter := r.Progress
	if reporter == nil {
		reporter = progress.Discard
	}
	auth := ""
	if r.Auth != nil {
		var err error
		if auth, err = r.Auth(); err != nil {
			return err
		}
	}
	return progress.Do(reporter, "pulling "+r.Subject.Reference, func(step progress.Step) error {
		resp, err := r.Engine.ImagePull(ctx, r.Subject.Reference, engine.ImagePullOptions{RegistryAuth: auth, Platforms: []ocispec.Platform{r.platform()}})
		if err != nil {
			return err
		}
		defer resp.Close()
		for m, err := range resp.JSONMessages(ctx) {
			if err != nil {
				return err
			}
			if m.Error != nil {
				return m.Error
			}
			if m.Progress != nil && m.ID != "" {
				step.Bytes(m.ID+" "+m.Status, m.Progress.Current, m.Progress.Total)
			}
		}
		return nil
	})
}

func (r *Runner) platform() ocispec.Platform {
	p := r.Subject.Platform
	return ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures}
}
