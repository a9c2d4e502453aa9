package sticky

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

// Reports returns at most limit reports about the builders that had the name, the
// newest first; 0 means all that are kept. The first is about the builder that is up,
// if one is: its decision is Undecided, unless its supervisor has come to an end
// without down.
func (h Host) Reports(name string, limit int) ([]Report, error) {
	out := []Report{}
	current, err := h.present(name)
	if err != nil {
		return nil, err
	}
	if current != nil {
		out = append(out, *current)
	}
	files, err := h.State.Reports(name)
	if err != nil {
		return nil, fmt.Errorf("listing reports: %w", err)
	}
	for _, file := range files {
		if limit > 0 && len(out) >= limit {
			break
		}
		var r Report
		err := durable.ReadJSON(file, &r)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a down has just made room
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// present reports about the builder that is up, nil if there is none.
func (h Host) present(name string) (*Report, error) {
	dir := h.State.Dir(name)
	i, err := dir.Load()
	if err != nil || i == nil {
		return nil, err
	}
	run, err := dir.LoadRun()
	if err != nil {
		return nil, err
	}
	ended := &Report{}
	err = durable.ReadJSON(dir.File(instance.Report), ended)
	if err == nil {
		return ended, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s, err := h.Status(name)
	if err != nil || s == nil {
		return nil, err
	}
	r := begun(i, run)
	r.Decision, r.Reason = Undecided, "the builder is up: "+s.State
	r.Crash, r.Summary, r.Builds = s.Crash, s.Summary, s.Builds
	return r, nil
}

// begun is what a report says from the beginning.
func begun(i *instance.Instance, run instance.Run) *Report {
	w := &i.Working
	r := &Report{
		Name: i.Name, Driver: first(i.Driver, ProcessDriver), Entitlements: i.Entitlements, Disk: i.Disk, Key: w.Lineage.Key, Ref: w.Lineage.Ref, Platform: w.Lineage.Platform,
		Origin: w.Origin.Name(), ReadOnly: i.ReadOnly, Parent: w.Parent, Cache: cache(i), Clone: w.Clone,
		ReadyMillis: run.ReadyMillis, BuildkitVersion: run.BuildkitVersion, Snapshotter: run.Snapshotter, Started: i.Created, Recovered: i.Recovered, Checkpoints: i.Checkpoints,
		Builds: []history.Build{},
	}
	if !w.Born.IsZero() {
		age := max(0, i.Created.Sub(w.Born).Seconds())
		r.ParentCreated, r.ParentAgeSeconds = w.Born, &age
	}
	return r
}

// keep makes the report one of those that are kept, unless the builder never was ready.
func (h Host) keep(i *instance.Instance, r *Report) error {
	if r.BuildkitVersion == "" {
		return nil
	}
	return h.State.KeepReport(i.Name, i.Working.ID, r)
}
