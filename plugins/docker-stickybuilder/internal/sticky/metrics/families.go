package metrics

import (
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
)

func families(r *sticky.Report) []*dto.MetricFamily {
	s := &set{base: labels{"builder", r.Name, "key", r.Key, "ref", r.Ref}}
	s.gauge("info", "The run of the builder; always 1.")(1,
		"disk", r.Disk, "platform", r.Platform, "driver", r.Driver, "buildkit_version", r.BuildkitVersion, "cache", r.Cache, "policy", r.Policy)
	s.run(r)
	s.builds(r)
	s.disk(r)
	return s.families
}

func (s *set) run(r *sticky.Report) {
	decision := s.gauge("decision", "What became of the job's disk: 1 for the decision that was taken, 0 for all others.")
	for _, d := range sticky.Decisions {
		decision(flag(r.Decision == d), "decision", string(d))
	}
	s.gauge("failed", "Whether the decision could not be carried out.")(flag(r.Error != ""))
	s.gauge("read_only", "Whether the builder was never to commit.")(flag(r.ReadOnly))
	s.gauge("crashed", "Whether buildkitd died by itself.")(flag(r.Crash != ""))
	s.gauge("recovered", "Generations that were not sound and that up has repaired or passed over; of a docker volume also that it was not left cleanly.")(float64(len(r.Recovered)))
	s.gauge("checkpoints", "Generations that were committed while the builder was up.")(float64(len(r.Checkpoints)))
	var pauses int64
	for _, c := range r.Checkpoints {
		pauses += c.PauseMilliseconds
	}
	s.gauge("checkpoint_pause_seconds", "How long builds stood still for that.")(seconds(pauses))
	stamp := func(name, help string, at time.Time) {
		if add := s.gauge(name, help); !at.IsZero() {
			add(float64(at.UnixMilli()) / 1000)
		}
	}
	stamp("start_time_seconds", "When the builder was brought up, in seconds since the epoch.", r.Started)
	stamp("stop_time_seconds", "When the builder had come to its end, in seconds since the epoch.", r.Stopped)
	s.gauge("ready_seconds", "What buildkitd took to start.")(seconds(r.ReadyMillis))
	if r.Stopped.IsZero() {
		return
	}
	s.gauge("clean_shutdown", "Whether buildkitd ended when asked.")(flag(r.CleanShutdown))
	s.gauge("drain_seconds", "What was waited for builds under way at the end.")(seconds(r.DrainMillis))
	s.gauge("prune_seconds", "What it took to measure the disk and to prune it to its bound.")(seconds(r.PruneMillis))
	s.gauge("stop_seconds", "What buildkitd took to end.")(seconds(r.StopMillis))
	s.gauge("check_seconds", "What it took to check the databases before the commit.")(seconds(r.CheckMillis))
}

func (s *set) disk(r *sticky.Report) {
	s.gauge("disk_warm", "Whether the job began with a former job's disk.")(flag(r.Parent != ""))
	s.gauge("disk_fallback", "Whether that was a fallback's disk.")(flag(r.Origin != ""))
	if add := s.gauge("disk_parent_age_seconds", "Age of the generation that the job began with, when it began."); r.ParentAgeSeconds != nil {
		add(*r.ParentAgeSeconds)
	}
	s.gauge("clone_seconds", "What it took to lend the job its disk, the restore included.")(seconds(r.Clone.Milliseconds), "method", r.Clone.Method)
	s.gauge("clone_bytes", "Bytes that were copied on this machine for that; 0 with copy on write.")(float64(r.Clone.Bytes))
	s.gauge("restore_seconds", "What it took to fetch the head from the disk's home; 0 if its home is this machine.")(seconds(r.Clone.RestoreMilliseconds))
	s.gauge("restore_bytes", "Bytes that were received for that.")(float64(r.Clone.Traffic.ReceivedBytes))
	s.gauge("restore_requests", "Requests that were sent for that.")(float64(r.Clone.Traffic.Requests))
	if r.Stopped.IsZero() {
		return
	}
	s.gauge("commit_seconds", "What it took to make the job's disk a generation, the upload included.")(seconds(r.CommitMillis))
	s.gauge("commit_bytes", "Bytes that were sent to the disk's home for that; 0 if its home is this machine.")(float64(r.Commit.SentBytes))
	s.gauge("commit_requests", "Requests that were sent for that.")(float64(r.Commit.Requests))
	if add := s.gauge("disk_size_bytes", "What the disk held at its end, if it has a bound."); r.Bytes > 0 {
		add(float64(r.Bytes))
	}
	s.gauge("disk_pruned_bytes", "What was pruned to keep to the bound.")(float64(r.PrunedBytes))
}

// A series is what tells builds apart here. BuildKit's own ids would make a new one
// of every build.
type series struct{ name, target, platform, outcome string }

// maxSeries bounds what names from outside can make of one file; builds beyond are
// counted under others.
const maxSeries = 500

const others = "…"

func (s *set) builds(r *sticky.Report) {
	count := s.gauge("builds", "Builds by their outcome.")
	t := r.Summary
	for _, o := range []struct {
		outcome history.Outcome
		n       int
	}{{history.OK, t.OK}, {history.Failed, t.Failed}, {history.Cancelled, t.Cancelled}, {history.Lost, t.Lost}, {history.Running, t.Running}} {
		count(float64(o.n), "outcome", string(o.outcome))
	}
	s.gauge("steps", "Steps of all builds.")(float64(t.TotalSteps))
	s.gauge("cached_steps", "Steps of all builds that came from the cache.")(float64(t.CachedSteps))

	var order []series
	sums := map[series]*history.Build{}
	for _, b := range r.Builds {
		of := series{valid(b.Name), valid(b.Target), valid(b.Platform), string(b.Outcome)}
		if sums[of] == nil && len(order) >= maxSeries {
			of = series{name: others, outcome: of.outcome}
		}
		if sums[of] == nil {
			sums[of] = &history.Build{}
			order = append(order, of)
		}
		sum := sums[of]
		sum.Seconds, sum.Computed = sum.Seconds+b.Seconds, sum.Computed+b.Computed
		sum.CachedSteps, sum.TotalSteps = sum.CachedSteps+b.CachedSteps, sum.TotalSteps+b.TotalSteps
	}
	for _, m := range []struct {
		name, help string
		value      func(*history.Build) float64
	}{
		{"build_seconds", "What builds of a name took, added up.", func(b *history.Build) float64 { return b.Seconds }},
		{"build_computed_seconds", "What their steps took that did not come from the cache, added up.", func(b *history.Build) float64 { return b.Computed }},
		{"build_steps", "Steps of builds of a name.", func(b *history.Build) float64 { return float64(b.TotalSteps) }},
		{"build_cached_steps", "Steps of builds of a name that came from the cache.", func(b *history.Build) float64 { return float64(b.CachedSteps) }},
	} {
		add := s.gauge(m.name, m.help)
		for _, of := range order {
			add(m.value(sums[of]), "name", of.name, "target", of.target, "build_platform", of.platform, "outcome", of.outcome)
		}
	}
}
