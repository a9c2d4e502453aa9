package bed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
)

// makeImage puts the testbed's buildkitd and buildctl, and the machine's runc, on the
// base, where BuildKit's own image has them.
func (b *Bed) makeImage(ctx context.Context) error {
	runc, err := exec.LookPath("runc")
	if err != nil {
		return fmt.Errorf("making an image with BuildKit: %w", err)
	}
	if _, err := b.Docker(ctx, "image", "inspect", b.Base); err != nil {
		if _, err := b.Docker(ctx, "pull", "--quiet", b.Base); err != nil {
			return fmt.Errorf("making an image with BuildKit: %w", err)
		}
		b.pulled = append(b.pulled, b.Base)
	}
	id, err := b.Docker(ctx, "create", b.Base)
	if err != nil {
		return fmt.Errorf("making an image with BuildKit: %w", err)
	}
	defer func() { _, _ = b.Docker(context.WithoutCancel(ctx), "rm", "--force", id) }()
	for _, file := range []string{b.Tool("buildkitd"), b.Tool("buildctl"), runc} {
		real, err := filepath.EvalSymlinks(file)
		if err != nil {
			return fmt.Errorf("making an image with BuildKit: %w", err)
		}
		if _, err := b.Docker(ctx, "cp", real, id+":/usr/bin/"+filepath.Base(file)); err != nil {
			return fmt.Errorf("making an image with BuildKit: %w", err)
		}
	}
	const name = "docker.io/dockerfactory/stickybuilder-bench:buildkit"
	if _, err := b.Docker(ctx, "commit", "--change", `ENTRYPOINT ["buildkitd"]`, "--change", "CMD []", id, name); err != nil {
		return fmt.Errorf("making an image with BuildKit: %w", err)
	}
	b.Image, b.pulled = name, append(b.pulled, name)
	return nil
}

// Toolchain pushes an image with the Go toolchain that runs this on the base, and
// returns its reference.
func (b *Bed) Toolchain(ctx context.Context) (string, error) {
	out, err := b.Run(ctx, "go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	root := strings.TrimPrefix(out, "/")
	layer := filepath.Join(b.Scratch, "go.tar")
	defer os.Remove(layer)
	argv := []string{
		"tar", "-C", "/", "-cf", layer, "--exclude=*_test.go", "--exclude=testdata", "--transform", "s#^" + root + "#usr/local/go#",
		root + "/src", root + "/pkg/tool", root + "/pkg/include", root + "/bin", root + "/go.env", root + "/VERSION",
	}
	if _, err := measure.Run(ctx, measure.Command{Argv: argv}); err != nil {
		return "", fmt.Errorf("packing the Go toolchain: %w", err)
	}
	ref := b.Sources.Addr + "/golang:local"
	if _, err := b.Run(ctx, b.Tool("crane"), "append", "--insecure", "--base", b.Base, "--new_layer", layer, "--new_tag", ref); err != nil {
		return "", fmt.Errorf("pushing the Go toolchain: %w", err)
	}
	return ref, nil
}
