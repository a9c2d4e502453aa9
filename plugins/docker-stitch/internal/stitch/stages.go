package stitch

import (
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
)

// Stages returns the names of the Dockerfile's stages that have one.
func (r *Rendered) Stages() []string {
	parsed, err := dockerfile.Parse(sourcemap.Texts(r.Lines))
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range parsed.Instructions {
		if s, ok := i.Command.(*instructions.Stage); ok && s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}
