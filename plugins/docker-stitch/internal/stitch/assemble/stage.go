package assemble

import (
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
)

// namesImage reports whether some stage is built from image in so many words.
func namesImage(f dockerfile.File, image string) bool {
	for _, i := range f.Instructions {
		if s, ok := i.Command.(*instructions.Stage); ok && s.BaseName == image {
			return true
		}
	}
	return false
}
