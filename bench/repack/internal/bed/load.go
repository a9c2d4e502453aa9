package bed

import (
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
)

// Load is how much of the processors was used until a moment.
type Load struct {
	at           time.Time
	all, engines time.Duration
	processors   int
}

// Load returns what all programs of the machine, and the engine, have used so far.
func (b *Bed) Load() Load {
	all, processors := measure.Busy()
	return Load{time.Now(), all, b.engine.containerd.CPU() + b.engine.dockerd.CPU(), processors}
}

// Others returns the part of the processors, 0 to 1, that others than the engine
// have used since then.
func (l Load) Others(then Load) float64 {
	wall := l.at.Sub(then.at) * time.Duration(max(l.processors, 1))
	used := (l.all - then.all) - (l.engines - then.engines)
	return min(max(float64(used)/float64(max(wall, 1)), 0), 1)
}
