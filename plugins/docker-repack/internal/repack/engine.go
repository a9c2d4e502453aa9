package repack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	mobyclient "github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// engineDestination loads the result into a docker engine, as a docker archive.
type engineDestination struct {
	*staging
	ref    image.Reference
	engine image.Engine
	limit  limits
}

var _ Destination = (*engineDestination)(nil)

func newEngineDestination(ctx context.Context, ref image.Reference, o image.Options) (*engineDestination, error) {
	if o.Engine == nil {
		return nil, fmt.Errorf("opening destination %s: %w", ref, image.ErrNoEngine)
	}
	limit, err := engineLimits(ctx, o.Engine)
	if err != nil {
		return nil, fmt.Errorf("opening destination %s: %w", ref, fault.Hint(err, "start the engine, or choose another with: docker context use"))
	}
	s, err := newStaging(o.TempDir)
	if err != nil {
		return nil, err
	}
	return &engineDestination{s, ref, o.Engine, limit}, nil
}

// engineLimits asks the engine what it can do. With the containerd image store it
// keeps an index and its layers as they are; without, it unpacks one image, and
// before Docker 23 (API 1.42) it cannot read zstd.
func engineLimits(ctx context.Context, e image.Engine) (limits, error) {
	info, err := e.Info(ctx, mobyclient.InfoOptions{})
	if err != nil {
		return limits{}, err
	}
	if slices.Contains(info.Info.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"}) {
		return limits{}, nil
	}
	version, err := e.ServerVersion(ctx, mobyclient.ServerVersionOptions{})
	if err != nil {
		return limits{}, err
	}
	l := limits{platform: &v1.Platform{OS: version.Os, Architecture: version.Arch}}
	var major, minor int
	if _, err := fmt.Sscanf(version.APIVersion, "%d.%d", &major, &minor); err == nil && major == 1 && minor < 42 {
		l.compression, l.only = "gzip", true
	}
	return l, nil
}

func (e *engineDestination) limits() limits { return e.limit }

// Publish streams the archive into the engine, which names the image when all of
// it is there.
func (e *engineDestination) Publish(ctx context.Context, d v1.Descriptor, _ []byte) error {
	defer e.remove()
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := writeArchive(ctx, w, e.staging, d, e.ref)
		w.CloseWithError(err)
		written <- err
	}()
	err := image.Load(ctx, e.engine, r)
	// Nobody reads on after an error, or a success that did not need the end.
	r.CloseWithError(io.ErrClosedPipe)
	if wrote := <-written; err == nil && !errors.Is(wrote, io.ErrClosedPipe) {
		err = wrote
	}
	if err != nil {
		return fmt.Errorf("loading %s into the engine: %w", image.FamiliarName(e.ref), err)
	}
	return nil
}
