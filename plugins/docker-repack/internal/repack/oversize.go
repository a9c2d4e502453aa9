package repack

import (
	"fmt"

	"github.com/docker/go-units"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
)

// oversized warns of files that have layers of their own, for they alone are larger
// than the target: a file cannot be split. It returns "" if there are none.
func oversized(p *plan.Plan) string {
	n, largest := 0, (*plan.Unit)(nil)
	for _, l := range p.Layers {
		if !l.Indivisible {
			continue
		}
		n++
		if u := l.Units[0]; largest == nil || u.Cost > largest.Cost {
			largest = u
		}
	}
	if largest == nil {
		return ""
	}
	return fmt.Sprintf("files that cannot be split compress to more than the target size (%d, the largest %s to about %s): their layers are larger",
		n, quote(largest.Entries[0].Path), units.HumanSize(largest.Cost))
}
