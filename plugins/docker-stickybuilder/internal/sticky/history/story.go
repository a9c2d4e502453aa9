package history

import (
	"slices"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// A teller makes a story of events that may come twice, or completed before
// started: per ref there is one build, and its completion wins.
type teller struct {
	order    []string
	builds   map[string]*Build
	baseline map[string]bool
	exit     string
	damaged  int
}

func (t *teller) tell(e event) {
	switch e.Type {
	case eventBaseline:
		if t.baseline == nil {
			t.baseline = map[string]bool{}
		}
		for _, ref := range e.Refs {
			t.baseline[ref] = true
		}
	case eventStarted, eventComplete:
		if e.Build == nil || e.Build.Ref == "" {
			t.damaged++
			return
		}
		t.build(*e.Build)
	case eventExit:
		t.exit = e.Message
	}
}

func (t *teller) build(b Build) {
	if t.builds == nil {
		t.builds = map[string]*Build{}
	}
	known, ok := t.builds[b.Ref]
	switch {
	case !ok:
		t.order = append(t.order, b.Ref)
		t.builds[b.Ref] = &b
	case known.Outcome == Running && b.Outcome != Running:
		*known = b
	}
}

func (t *teller) story() Story {
	s := Story{Exit: t.exit, Damaged: t.damaged, Builds: make([]Build, 0, len(t.order))}
	for _, ref := range t.order {
		if !t.baseline[ref] {
			s.Builds = append(s.Builds, *t.builds[ref])
		}
	}
	slices.SortStableFunc(s.Builds, func(a, b Build) int { return a.Started.Compare(b.Started) })
	return s
}

// End turns builds that are still running into lost ones: to be called once the
// daemon is gone. Those of the given refs go on without it.
func (s *Story) End(going ...string) {
	for i := range s.Builds {
		if s.Builds[i].Outcome == Running && !slices.Contains(going, s.Builds[i].Ref) {
			s.Builds[i].Outcome = Lost
			s.Builds[i].Error = "buildkitd ended before the build did"
		}
	}
}

// Tally counts the builds.
func (s Story) Tally() disk.Tally {
	var t disk.Tally
	for _, b := range s.Builds {
		switch b.Outcome {
		case OK:
			t.OK++
		case Failed:
			t.Failed++
		case Cancelled:
			t.Cancelled++
		case Lost:
			t.Lost++
		case Running:
			t.Running++
		}
		t.CachedSteps += b.CachedSteps
		t.TotalSteps += b.TotalSteps
	}
	return t
}

// Work is what the builds have computed, by the name and the target of each. Steps
// that were done count whatever became of their build: they are in the cache.
func (s Story) Work() disk.Work {
	work := disk.Work{}
	for _, b := range s.Builds {
		if b.Computed <= 0 {
			continue
		}
		name := b.Name
		if b.Target != "" {
			name += ":" + b.Target
		}
		work[name] = milli(work[name] + b.Computed)
	}
	return work
}
