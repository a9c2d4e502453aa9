package sticky

import (
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

// Durations are how long the parts of a builder's end took.
type Durations struct {
	DrainMillis  int64 `json:"drainMilliseconds"`  // waiting for builds under way
	PruneMillis  int64 `json:"pruneMilliseconds"`  // measuring the disk, and pruning it to its bound
	StopMillis   int64 `json:"stopMilliseconds"`   // from the first SIGTERM to buildkitd's end
	CheckMillis  int64 `json:"checkMilliseconds"`  // syncing the disk and checking the databases
	CommitMillis int64 `json:"commitMilliseconds"` // making the working copy a generation, with uploads
}

// A stopwatch adds up how long each phase took. A nil one measures nothing.
type stopwatch struct {
	now   func() time.Time
	phase string
	since time.Time
	took  map[string]time.Duration
}

// enter ends one phase and begins the next; "" stops.
func (w *stopwatch) enter(phase string) {
	if w == nil {
		return
	}
	now := w.now()
	if w.took == nil {
		w.took = map[string]time.Duration{}
	}
	if w.phase != "" {
		w.took[w.phase] += now.Sub(w.since)
	}
	w.phase, w.since = phase, now
}

func (w *stopwatch) durations() Durations {
	if w == nil {
		return Durations{}
	}
	return Durations{
		DrainMillis:  w.took[instance.PhaseDraining].Milliseconds(),
		PruneMillis:  w.took[instance.PhasePruning].Milliseconds(),
		StopMillis:   w.took[instance.PhaseStopping].Milliseconds(),
		CheckMillis:  w.took[instance.PhaseChecking].Milliseconds(),
		CommitMillis: w.took[instance.PhaseSaving].Milliseconds(),
	}
}
