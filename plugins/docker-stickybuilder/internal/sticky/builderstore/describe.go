package builderstore

import (
	"regexp"

	"github.com/docker/buildx/localstate"
)

var refPattern = regexp.MustCompile(`^[a-z0-9]+$`)

// A Description is what buildx noted on the client's side about a build: the
// bake target, or "", the build context and the Dockerfile. BuildKit is not told.
type Description struct{ Target, Context, Dockerfile string }

// Describe returns buildx's notes about the build of the given ref on a builder that
// Register has entered; zero if there are none.
func (s *Store) Describe(e Entry, ref string) Description {
	if !refPattern.MatchString(ref) {
		return Description{}
	}
	notes, err := localstate.New(s.config)
	if err != nil {
		return Description{}
	}
	st, err := notes.ReadRef(e.Name, e.node(), ref)
	if err != nil {
		return Description{}
	}
	d := Description{Target: st.Target, Context: st.LocalPath, Dockerfile: st.DockerfilePath}
	if d.Target == "default" {
		d.Target = ""
	}
	return d
}
