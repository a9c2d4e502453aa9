package sticky

import (
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

func TestStopwatch(t *testing.T) {
	now := time.Unix(1000, 0)
	w := stopwatch{now: func() time.Time { return now }}
	for _, p := range []struct {
		phase string
		lasts time.Duration
	}{
		{instance.PhaseReady, time.Hour},
		{instance.PhaseDraining, 5 * time.Millisecond},
		{instance.PhasePruning, 6 * time.Millisecond},
		{instance.PhaseStopping, 7 * time.Millisecond},
		{instance.PhaseChecking, 8 * time.Millisecond},
		{instance.PhaseSaving, 9 * time.Millisecond},
		{instance.PhaseChecking, 10 * time.Millisecond},
		{"", time.Hour},
	} {
		w.enter(p.phase)
		now = now.Add(p.lasts)
	}
	w.enter(instance.PhaseSaving)
	if got, want := w.durations(), (Durations{5, 6, 7, 18, 9}); got != want {
		t.Errorf("got %+v want %+v", got, want)
	}
	var none *stopwatch
	none.enter(instance.PhaseSaving)
	if none.durations() != (Durations{}) {
		t.Error("no stopwatch measures")
	}
}
