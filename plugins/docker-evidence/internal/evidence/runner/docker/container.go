package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	engine "github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// containers makes one container for each process.
type containers struct {
	runner *Runner
	id     string // the engine's, of the image
	host   record.Host
}

func (c *containers) Host() record.Host { return c.host }

// Run implements smoke.Image.
func (c *containers) Run(ctx context.Context, p smoke.Process) (status int, rerr error) {
	network := container.NetworkMode("none")
	if p.Network == suite.NetworkDefault {
		network = "default"
	}
	create := engine.ContainerCreateOptions{
		Config: &container.Config{
			Image:        c.id,
			Entrypoint:   p.Args,
			Env:          p.Env,
			User:         p.User,
			WorkingDir:   p.Dir,
			AttachStdout: true,
			AttachStderr: true,
			Labels:       map[string]string{wire.LabelEvidenceSubject: c.runner.Subject.Manifest.String()},
			Healthcheck:  &container.HealthConfig{Test: []string{"NONE"}},
		},
		HostConfig: &container.HostConfig{NetworkMode: network, LogConfig: container.LogConfig{Type: "none"}},
	}
	created, err := c.runner.Engine.ContainerCreate(ctx, create)
	if errdefs.IsNotFound(err) {
		// Another run that had pulled the image has removed it meanwhile.
		if _, _, err = c.runner.provide(ctx); err == nil {
			created, err = c.runner.Engine.ContainerCreate(ctx, create)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("creating a container: %w", err)
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		_, err := c.runner.Engine.ContainerRemove(clean, created.ID, engine.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && rerr == nil {
			rerr = fmt.Errorf("removing the container: %w", err)
		}
	}()

	attached, err := c.runner.Engine.ContainerAttach(ctx, created.ID, engine.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return 0, fmt.Errorf("attaching to the container: %w", err)
	}
	var copyErr error
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, copyErr = stdcopy.StdCopy(p.Stdout, p.Stderr, attached.Reader)
	}()
	// Nothing may be written to p after Run has returned.
	defer func() {
		attached.Close()
		<-copied
	}()

	waiting, stopWaiting := context.WithCancel(ctx)
	defer stopWaiting()
	ended := c.runner.Engine.ContainerWait(waiting, created.ID, engine.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := c.runner.Engine.ContainerStart(ctx, created.ID, engine.ContainerStartOptions{}); err != nil {
		if status, ok := runner.StartFailure(err.Error()); ok && ctx.Err() == nil {
			fmt.Fprintln(p.Stderr, err)
			return status, nil
		}
		return 0, fmt.Errorf("starting the container: %w", err)
	}
	select {
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case err := <-ended.Error:
		return 0, fmt.Errorf("waiting for the container: %w", err)
	case exit := <-ended.Result:
		if exit.Error != nil {
			return 0, fmt.Errorf("waiting for the container: %w", errors.New(exit.Error.Message))
		}
		status = int(exit.StatusCode)
	}
	select {
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-copied:
		if copyErr != nil {
			return 0, fmt.Errorf("reading what the container wrote: %w", copyErr)
		}
	}
	return status, nil
}
