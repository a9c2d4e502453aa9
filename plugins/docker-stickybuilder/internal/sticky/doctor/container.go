package doctor

import (
	"context"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func (d *Diagnosis) container(ctx context.Context, o Options) {
	if len(o.Buildx) == 0 {
		d.add(Container, "buildx", Missing, "docker buildx is not installed", "install it: https://github.com/docker/buildx#installing")
	} else {
		d.add(Container, "buildx", OK, o.Buildx[0], "")
	}
	engine, err := o.connect(ctx)
	if err != nil {
		d.add(Container, "engine", Missing, err.Error(), fault.HintOf(err))
		return
	}
	defer engine.Close()
	version, rootless, err := engine.Describe(ctx)
	switch {
	case err != nil:
		d.add(Container, "engine", Missing, err.Error(), "")
		return
	case rootless && !o.volume():
		d.add(Container, "engine", Missing, "version "+version+", rootless: it cannot read a disk, whose files are root's", "use root's engine: docker context use default")
		return
	default:
		d.add(Container, "engine", OK, "version "+version+" at "+o.Engine, "")
	}
	d.privileged(ctx, engine, o.Image)
}

func (o Options) connect(ctx context.Context) (*container.Engine, error) {
	if o.volume() {
		return container.ConnectAnywhere(ctx, o.Engine, o.Reach)
	}
	return container.Connect(ctx, o.Engine)
}

// DefaultImage is what buildx runs unless told otherwise.
const DefaultImage = "moby/buildkit:buildx-stable-1"

func (d *Diagnosis) privileged(ctx context.Context, engine *container.Engine, image string) {
	if image == "" {
		image = DefaultImage
	}
	said, err := engine.TryPrivileged(ctx, image)
	switch {
	case err != nil && said == "":
		d.add(Container, "privileged", Missing, err.Error(), "the engine cannot run privileged containers here: use --driver process")
	case said == "":
		d.add(Container, "privileged", Warning, "not tried: the image "+image+" is not in the engine", "pull or load it; up would have buildx pull it")
	default:
		d.add(Container, "privileged", OK, image+" runs: "+said, "")
	}
}
