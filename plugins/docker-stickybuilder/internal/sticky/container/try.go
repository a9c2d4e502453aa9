package container

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/security"
)

// Describe returns the engine's version, and whether it runs without root.
func (e *Engine) Describe(ctx context.Context) (version string, rootless bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return "", false, fmt.Errorf("asking the docker engine at %s: %w", e.host, err)
	}
	rootless = slices.ContainsFunc(security.DecodeOptions(r.Info.SecurityOptions), func(o security.Option) bool { return o.Name == "rootless" })
	return r.Info.ServerVersion, rootless, nil
}

// Platform is that of the engine's machine, such as "linux/amd64".
func (e *Engine) Platform(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return "", fmt.Errorf("asking the docker engine at %s: %w", e.host, err)
	}
	return platforms.Format(platforms.Normalize(platforms.Platform{OS: r.Info.OSType, Architecture: r.Info.Architecture})), nil
}

// TryPrivileged runs buildkitd --version in a privileged container, without network
// and disk, and removes that. It returns what it says; "" if the engine does not have
// the image, which is not pulled.
func (e *Engine) TryPrivileged(ctx context.Context, image string) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := e.api.ImageInspect(ctx, image); err != nil {
		if cerrdefs.IsNotFound(err) {
			err = nil
		}
		return "", err
	}
	init := true
	c, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config:     &container.Config{Image: image, Entrypoint: []string{"buildkitd"}, Cmd: []string{"--version"}},
		HostConfig: &container.HostConfig{Privileged: true, NetworkMode: "none", Init: &init},
	})
	if err != nil {
		return "", fmt.Errorf("trying a privileged container: %w", err)
	}
	defer func() {
		_, _ = e.api.ContainerRemove(context.WithoutCancel(ctx), c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}()
	if _, err := e.api.ContainerStart(ctx, c.ID, client.ContainerStartOptions{}); err != nil {
		return "", fmt.Errorf("trying a privileged container: %w", err)
	}
	w := e.api.ContainerWait(ctx, c.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case r := <-w.Result:
		if r.StatusCode != 0 {
			return "", fmt.Errorf("trying a privileged container: buildkitd --version: exit status %d", r.StatusCode)
		}
	case err := <-w.Error:
		return "", fmt.Errorf("trying a privileged container: %w", err)
	}
	logs, err := e.api.ContainerLogs(ctx, c.ID, client.ContainerLogsOptions{ShowStdout: true})
	if err != nil {
		return "", fmt.Errorf("trying a privileged container: %w", err)
	}
	defer logs.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, logs); err != nil {
		return "", fmt.Errorf("trying a privileged container: %w", err)
	}
	return strings.TrimSpace(out.String()), nil
}
