package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	mobyclient "github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// An Engine is a docker engine, as far as images are read from it and written to
// it: *client.Client of github.com/moby/moby.
type Engine interface {
	Info(ctx context.Context, o mobyclient.InfoOptions) (mobyclient.SystemInfoResult, error)
	ServerVersion(ctx context.Context, o mobyclient.ServerVersionOptions) (mobyclient.ServerVersionResult, error)
	ImageSave(ctx context.Context, images []string, o ...mobyclient.ImageSaveOption) (mobyclient.ImageSaveResult, error)
	ImageLoad(ctx context.Context, r io.Reader, o ...mobyclient.ImageLoadOption) (mobyclient.ImageLoadResult, error)
}

// ErrNoEngine is what a reference to an engine's image gives where Options name
// no engine.
var ErrNoEngine = errors.New("no docker engine is known")

// engineName is what the engine calls the image: as docker prints names, for it
// finds images of classic archives by that form only.
func (r Reference) engineName() string {
	if r.Name == nil {
		return r.ID
	}
	return FamiliarName(r)
}

// FamiliarName is the name of a reference as docker prints it, with the tag:
// "app:1", not "index.docker.io/library/app:1".
func FamiliarName(r Reference) string {
	n, err := reference.ParseNormalizedNamed(r.Name.Name())
	if err != nil {
		return r.Name.String() // names of one grammar: it does not happen
	}
	return reference.FamiliarString(n)
}

// FullName is the name of a reference as containerd has it:
// "docker.io/library/app:1".
func FullName(r Reference) string {
	n, err := reference.ParseNormalizedNamed(r.Name.Name())
	if err != nil {
		return r.Name.String()
	}
	return n.String()
}

// saveFromEngine streams an image out of the engine into a temporary file: what
// docker save writes begins with the layers and ends with the list of them.
func saveFromEngine(ctx context.Context, ref Reference, o Options) (files, error) {
	if o.Engine == nil {
		return nil, ErrNoEngine
	}
	r, err := o.Engine.ImageSave(ctx, []string{ref.engineName()})
	if err != nil {
		return nil, explainEngine(err, ref)
	}
	defer r.Close()
	a, err := spoolArchive(ctx, r, "saving "+ref.engineName()+" from the engine", o)
	if err != nil {
		return nil, fmt.Errorf("saving the image from the engine: %w", err)
	}
	return a, nil
}

func explainEngine(err error, ref Reference) error {
	switch {
	case cerrdefs.IsNotFound(err):
		return fault.Hint(err, "the engine has: docker image ls; a registry's image is written without docker-daemon://, or fetched by: docker pull %s", ref.engineName())
	case mobyclient.IsErrConnectionFailed(err):
		return fault.Hint(err, "start the engine, or choose another with: docker context use")
	}
	return err
}
