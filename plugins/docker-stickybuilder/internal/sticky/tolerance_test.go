package sticky

import (
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

// A supervisor that gets on, from phase to phase or from byte to byte, is not killed, however
// long all of that takes.
func TestTolerance(t *testing.T) {
	p := tolerance{limit: 10 * time.Second}
	for _, c := range []struct {
		at   int // seconds
		run  instance.Run
		news bool
		over bool
	}{
		{0, instance.Run{Phase: instance.PhaseDraining}, true, false},
		{9, instance.Run{Phase: instance.PhaseDraining}, false, false},
		{10, instance.Run{Phase: instance.PhasePruning}, true, false},
		{19, instance.Run{Phase: instance.PhaseSaving}, true, false},
		{28, instance.Run{Phase: instance.PhaseSaving, Moved: 1}, true, false},
		{37, instance.Run{Phase: instance.PhaseSaving, Moved: 1}, false, false},
		{39, instance.Run{Phase: instance.PhaseSaving, Moved: 1}, false, true},
	} {
		at := time.Duration(c.at) * time.Second
		if news := p.news(at, c.run); news != c.news || p.over(at) != c.over {
			t.Errorf("%+v: news %v, over %v", c, news, p.over(at))
		}
	}
}
