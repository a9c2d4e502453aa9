package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/internal/registry"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
)

// A job is one image to be made smaller, from registry to registry.
type job struct {
	source string // reference in the registry of the sources
	layout string // the same image as an OCI layout, for those who cannot read a plain HTTP registry
	dest   string // reference in the registry of the results, which is empty
	work   string // empty directory for temporary files
}

// A contestant does a job. Its usage's Disk is what it needed below work.
type contestant struct {
	name   string
	run    func(context.Context, *bed.Bed, job) (measure.Usage, error)
	pulls  bool // an engine pulls the result: of those who keep the layers, one is enough
	judged bool // the outside judge looks at the result
}

// ours is what all others are compared with.
const ours = "docker repack (balanced)"

// greediest is the level that needs the most memory.
const greediest = "docker repack (max)"

// rivalName is its peer.
const rivalName = "docker-repack + skopeo"

const targetSize = "50MB"

var contestants = []contestant{
	{name: ours, run: repackAt("balanced"), pulls: true, judged: true},
	{name: "docker repack (fast)", run: repackAt("fast")},
	{name: greediest, run: repackAt("max"), pulls: true},
	{name: rivalName, run: rival, pulls: true, judged: true},
	{name: "regctl --layer-compress zstd", run: regctl},
	{name: "skopeo --dest-compress-format zstd", run: skopeo},
	{name: "BuildKit force-compression zstd", run: buildkit, pulls: true},
}

func repackAt(level string) func(context.Context, *bed.Bed, job) (measure.Usage, error) {
	return func(ctx context.Context, b *bed.Bed, j job) (measure.Usage, error) {
		u, _, err := repack(ctx, b, j.work, "docker://"+j.source, "docker://"+j.dest, "--compression-level", level)
		return u, err
	}
}

// repack runs the plugin of this checkout and returns the digest of its result.
func repack(ctx context.Context, b *bed.Bed, work string, args ...string) (measure.Usage, string, error) {
	var digest bytes.Buffer
	argv := append([]string{b.Ours, "--quiet", "--progress", "quiet", "--target-size", targetSize}, args...)
	u, err := measure.Run(ctx, measure.Command{Argv: argv, Env: b.Env(work), Scratch: work, Stdout: &digest})
	return u, string(bytes.TrimSpace(digest.Bytes())), err
}

// rival runs docker-repack of crates.io. It writes layouts only, so skopeo pushes;
// and it speaks to registries by TLS only, so it reads a layout, which it is given.
func rival(ctx context.Context, b *bed.Bed, j job) (measure.Usage, error) {
	out := filepath.Join(j.work, "out")
	u, err := rivalRepack(ctx, b, j, out)
	if err != nil {
		return u, err
	}
	pushed, err := measure.Run(ctx, measure.Command{
		Argv: []string{"skopeo", "--tmpdir", j.work, "copy", "--quiet", "--all", "--dest-tls-verify=false", "oci:" + out, "docker://" + j.dest},
		Env:  b.Env(j.work), Scratch: j.work,
	})
	return u.Then(pushed), err
}

func rivalRepack(ctx context.Context, b *bed.Bed, j job, out string) (measure.Usage, error) {
	return measure.Run(ctx, measure.Command{
		Argv: []string{b.Rival, "oci://" + j.layout, "oci://" + out, "--target-size", targetSize},
		Env:  b.Env(j.work), Scratch: j.work,
	})
}

func regctl(ctx context.Context, b *bed.Bed, j job) (measure.Usage, error) {
	argv := []string{b.Tool("regctl")}
	for _, r := range []*registry.Registry{b.Sources, b.Results} {
		argv = append(argv, "--host", "reg="+r.Addr+",tls=disabled")
	}
	argv = append(argv, "image", "mod", j.source, "--layer-compress", "zstd", "--create", j.dest)
	return measure.Run(ctx, measure.Command{Argv: argv, Env: b.Env(j.work), Scratch: j.work})
}

func skopeo(ctx context.Context, b *bed.Bed, j job) (measure.Usage, error) {
	return measure.Run(ctx, measure.Command{
		Argv: []string{
			"skopeo", "--tmpdir", j.work, "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false",
			"--dest-compress-format", "zstd", "docker://" + j.source, "docker://" + j.dest,
		},
		Env: b.Env(j.work), Scratch: j.work,
	})
}

// buildkit builds "FROM image" with a buildkitd that knows nothing yet. The wall
// clock is that of the build, CPU and memory are those of both programs.
func buildkit(ctx context.Context, b *bed.Bed, j job) (measure.Usage, error) {
	dir := filepath.Join(j.work, "context")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return measure.Usage{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+j.source+"\n"), 0o644); err != nil {
		return measure.Usage{}, err
	}
	k, err := b.StartBuildKit(ctx, filepath.Join(j.work, "buildkit"))
	if err != nil {
		return measure.Usage{}, err
	}
	u, err := k.Build(ctx, dir, nil, "type=image,name="+j.dest+",push=true,oci-mediatypes=true,compression=zstd,force-compression=true")
	return u.Beside(k.Stop()), err
}

// named returns the contestant of a name that stands in the list.
func named(name string) contestant {
	return contestants[slices.IndexFunc(contestants, func(c contestant) bool { return c.name == name })]
}
