package sticky

import (
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

// Status describes a builder with the builds that it has had so far; nil if no
// such builder is known.
func (h Host) Status(name string) (*Status, error) {
	dir := h.State.Dir(name)
	i, err := dir.Load()
	if err != nil || i == nil {
		return nil, err
	}
	run, err := dir.LoadRun()
	if err != nil {
		return nil, err
	}
	story, err := history.ReadJournal(dir.File(instance.Journal))
	if err != nil {
		return nil, err
	}
	s := &Status{
		Name: i.Name, State: run.Phase, Driver: first(i.Driver, ProcessDriver), Endpoint: endpoint(dir, i),
		Disk: i.Disk, Key: i.Working.Lineage.Key, Ref: i.Working.Lineage.Ref, Origin: i.Working.Origin.Name(), Platform: i.Working.Lineage.Platform,
		Generation: i.Working.Parent, Cache: cache(i), ReadOnly: i.ReadOnly,
		SupervisorPID: run.Supervisor.PID, BuildkitdPID: run.Buildkitd.PID, BuildkitVersion: run.BuildkitVersion, Snapshotter: run.Snapshotter,
		Started: i.Created, UptimeSeconds: h.Now().Sub(i.Created).Seconds(), Crash: run.Crash,
		ParentCreated: i.Working.Born, Clone: i.Working.Clone, ReadyMillis: run.ReadyMillis, Entitlements: i.Entitlements,
		Recovered: i.Recovered, Checkpoints: i.Checkpoints,
		Logs: []string{dir.File(instance.BuildkitdLog), dir.File(instance.SupervisorLog)},
	}
	s.Lease = lease(i)
	if !run.Supervisor.Alive() {
		s.State, s.Orphan = StateDead, run.Buildkitd.Alive()
		if run.Supervisor.IsZero() && h.State.Busy(name) {
			s.State = instance.PhaseStarting // up is cloning its disk
		}
		story.End()
		var report Report
		if durable.ReadJSON(dir.File(instance.Report), &report) == nil {
			s.State, s.Decision, s.Reason = StateEnded, report.Decision, report.Reason
		}
	}
	if run.Crash != "" {
		story.End()
	}
	s.Summary, s.Builds = story.Tally(), story.Builds
	if s.Builds == nil {
		s.Builds = []history.Build{}
	}
	nameBuilds(dir, i, s.Builds)
	return s, nil
}

// nameBuilds completes the builds' names by what buildx noted on its side.
func nameBuilds(dir instance.Dir, i *instance.Instance, builds []history.Build) {
	if i.Store == "" || len(builds) == 0 {
		return
	}
	store, err := builderstore.Open(i.Store)
	if err != nil {
		return
	}
	for n := range builds {
		d := store.Describe(entry(dir, i), builds[n].Ref)
		builds[n].Describe(d.Target, d.Context, d.Dockerfile)
	}
}

// List describes all builders that are known, by name.
func (h Host) List() ([]Status, error) {
	names, err := h.State.Names()
	if err != nil {
		return nil, err
	}
	out := make([]Status, 0, len(names))
	for _, n := range names {
		s, err := h.Status(n)
		if err != nil {
			return nil, err
		}
		if s != nil {
			out = append(out, *s)
		}
	}
	return out, nil
}
