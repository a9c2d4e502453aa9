// Package buildkit runs processes in containers of a BuildKit daemon, so that a
// machine that can only build can test too. The daemon pulls the image itself, by
// digest; nothing is exported, and the daemon's history does not list the run as
// a build.
package buildkit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A Runner runs processes of one image on a builder.
type Runner struct {
	Client   *client.Client
	Subject  runner.Subject
	Session  []session.Attachable // the user's credentials for the pull
	Progress progress.Reporter
}

var _ smoke.Runner = (*Runner)(nil)

// Use implements smoke.Runner.
func (r *Runner) Use(ctx context.Context, fn func(context.Context, smoke.Image) error) error {
	host, err := r.host(ctx)
	if err != nil {
		return fmt.Errorf("asking the builder: %w", err)
	}
	opt := client.SolveOpt{Session: r.Session, Internal: true}
	state, closeLayout, err := r.source(&opt)
	if err != nil {
		return err
	}
	defer closeLayout()

	ctx, stop := watch(ctx, r.Client)
	defer stop()

	// What fn says is kept apart from what the daemon says: a test that found
	// something is no build that failed.
	var answer error
	status := make(chan *client.SolveStatus)
	drawn := follow(status, r.Progress)
	_, err = r.Client.Build(ctx, opt, "docker-evidence", func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		ref, err := r.mount(ctx, gw, state)
		if err != nil {
			return nil, err
		}
		answer = fn(ctx, &containers{gw, ref, r.Subject, host})
		return gateway.NewResult(), nil
	}, status)
	<-drawn
	if lost := context.Cause(ctx); lost != nil {
		return lost
	}
	if err != nil {
		return r.explain(err)
	}
	return answer
}

func (r *Runner) host(ctx context.Context) (record.Host, error) {
	host := record.Host{Runner: "buildkit"}
	workers, err := r.Client.ListWorkers(ctx)
	if err != nil {
		return host, err
	}
	if len(workers) == 0 || len(workers[0].Platforms) == 0 {
		return host, errors.New("it has no workers")
	}
	host.OS, host.Arch = workers[0].Platforms[0].OS, workers[0].Platforms[0].Architecture
	host.Version = workers[0].BuildkitVersion.Version
	return host, nil
}

const layoutStore = "evidence"

// source names the image in the daemon's terms; for an OCI layout it lends the
// daemon the directory.
func (r *Runner) source(opt *client.SolveOpt) (llb.State, func(), error) {
	platform := llb.Platform(ociPlatform(r.Subject))
	if r.Subject.Layout == "" {
		return llb.Image(r.Subject.Reference, platform, llb.WithCustomName("pulling "+r.Subject.Reference)), func() {}, nil
	}
	store, closeStore, err := openLayout(r.Subject.Layout)
	if err != nil {
		return llb.State{}, nil, fmt.Errorf("opening OCI layout %s: %w", r.Subject.Layout, err)
	}
	opt.OCIStores = map[string]content.Store{layoutStore: store}
	return llb.OCILayout("layout/image@"+r.Subject.Manifest.String(), llb.OCIStore("", layoutStore), platform), closeStore, nil
}

// mount makes the daemon fetch and unpack the image.
func (r *Runner) mount(ctx context.Context, gw gateway.Client, state llb.State) (gateway.Reference, error) {
	def, err := state.Marshal(ctx, llb.Platform(ociPlatform(r.Subject)))
	if err != nil {
		return nil, err
	}
	res, err := gw.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

func (r *Runner) explain(err error) error {
	err = fmt.Errorf("making %s available on the builder: %w", r.Subject, err)
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fault.Hint(err, "tell the daemon that the registry speaks plain HTTP, in its buildkitd.toml: [registry.%q] http = true", registryOf(r.Subject.Reference))
	}
	return fault.Hint(err, "the builder must reach the registry too; or use an engine: --runner docker")
}

func registryOf(reference string) string {
	host, _, _ := strings.Cut(reference, "/")
	return host
}

func ociPlatform(s runner.Subject) ocispec.Platform {
	p := s.Platform
	return ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures}
}

func pbPlatform(s runner.Subject) *pb.Platform {
	p := s.Platform
	return &pb.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures}
}
