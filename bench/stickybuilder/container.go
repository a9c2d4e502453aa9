package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
)

// volume is where buildx's docker-container driver keeps BuildKit's state.
const volume = "buildx_buildkit_" + builderName + "0_state"

// A container is a builder of buildx's docker-container driver, as docker's
// setup-buildx-action makes it, whose volume is kept, or whose caches are exported and
// imported.
type container struct {
	place
	title     string
	keepState bool
	cache     string // type of the exported cache, "" for none
}

func (c *container) name() string { return c.title }

func (c *container) forget(ctx context.Context) error {
	_, _ = c.b.Run(ctx, c.b.Buildx, "rm", "--force", builderName)
	_, _ = c.b.Docker(ctx, "volume", "rm", "--force", volume)
	return c.place.forget(ctx)
}

func (c *container) up(ctx context.Context) error {
	c.meter.Reset()
	return createContainer(ctx, c.place)
}

func createContainer(ctx context.Context, p place) error {
	_, err := p.b.Run(ctx, p.b.Buildx, "create", "--name", builderName, "--use", "--driver", "docker-container",
		"--driver-opt", "image="+p.b.Image+",network=host", "--buildkitd-config", p.toml, "--bootstrap")
	return err
}

func (c *container) caching(targets []string) []string {
	var out []string
	for _, t := range targets {
		switch c.cache {
		case "local":
			dir := filepath.Join(c.dir, t)
			if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
				out = append(out, "--set", t+".cache-from=type=local,src="+dir)
			}
			out = append(out, "--set", t+".cache-to=type=local,mode=max,dest="+dir)
		case "registry":
			ref := c.meter.Addr() + "/cache:" + t
			out = append(out, "--set", t+".cache-from=type=registry,ref="+ref, "--set", t+".cache-to=type=registry,mode=max,ref="+ref)
		}
	}
	return out
}

func (c *container) down(ctx context.Context) error {
	argv := []string{c.b.Buildx, "rm", builderName}
	if c.keepState {
		argv = append(argv, "--keep-state")
	}
	_, err := c.b.Run(ctx, argv...)
	return err
}

// kept knows what the files of a volume take, which are on this machine.
func (c *container) kept(ctx context.Context) (int64, error) {
	if !c.keepState {
		return measure.DiskUsage(c.dir) + measure.DiskUsage(c.b.Store.Dir), nil
	}
	dir, err := c.b.Docker(ctx, "volume", "inspect", "--format", "{{.Mountpoint}}", volume)
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(strings.TrimSpace(dir)); err != nil {
		return 0, errors.Join(fmt.Errorf("measuring volume %s", volume), err)
	}
	return measure.DiskUsage(strings.TrimSpace(dir)), nil
}

func (c *container) moved() int64 {
	switch c.cache {
	case "registry":
		return c.meter.Reset().Moved()
	case "local": // BuildKit reads what it needs and writes the rest anew
		return -1
	}
	return 0
}
