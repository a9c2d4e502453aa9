package repack

import (
	"fmt"

	"github.com/docker/go-units"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
)

// oversized warns of files that alone are larger than the target: a file cannot be
// split, so their layers are larger. It returns "" if there are none.
func oversized(all []*plan.Unit, target int64) string {
	n, largest := 0, (*plan.Unit)(nil)
	for _, u := range all {
		if u.Cost <= float64(target) {
			continue
		}
		n++
		if largest == nil || u.Cost > largest.Cost {
			largest = u
		}
	}
	if largest == nil {
		return ""
	}
	return fmt.Sprintf("files that cannot be split compress to more than the target size (%d, the largest %s to about %s): their layers are larger",
		n, quote(largest.Entries[0].Path), units.HumanSize(largest.Cost))
}
