package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/internal/machine"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
)

func facts(ctx context.Context, b *bed.Bed) (machine.Facts, error) {
	f, err := machine.Look(ctx, map[string][]string{
		"go":            {"go", "version"},
		"docker-repack": {b.Rival, "--version"},
		"skopeo":        {"skopeo", "--version"},
		"umoci":         {"umoci", "--version"},
		"rsync":         {"rsync", "--version"},
		"zstd":          {"zstd", "--version"},
		"regctl":        {"go", "version", "-m", b.Tool("regctl")},
		"buildkitd":     {"go", "version", "-m", b.Tool("buildkitd")},
		"registry":      {"go", "version", "-m", b.Tool("registry")},
	}, b.Env(b.Scratch))
	if err != nil {
		return f, err
	}
	engine, _, err := b.Docker(ctx, "version", "--format", "{{range .Server.Components}}{{.Name}} {{.Version}}, {{end}}")
	if err != nil {
		return f, fmt.Errorf("asking the engine for its version: %w", err)
	}
	f.Tools["engine"] = strings.Trim(strings.TrimSpace(engine), ",")
	return f, nil
}
