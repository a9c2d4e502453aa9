// Package summary shows a report to people: as rows of a table, and as the Markdown
// that CI systems show beside a job.
package summary

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// A Fact is one row.
type Fact struct{ Label, Text string }

// Facts are what there is to say about a run besides its builds, the decision first.
// Text is not escaped for anything.
func Facts(r *sticky.Report) []Fact {
	var f []Fact
	add := func(label, format string, args ...any) { f = append(f, Fact{label, fmt.Sprintf(format, args...)}) }
	add("Decision", "%s: %s", r.Decision, r.Reason)
	if r.Error != "" {
		add("Error", "%s", r.Error)
	}
	if r.Hint != "" {
		add("Hint", "%s", r.Hint)
	}
	add("Steps", "%s", Cached(r.Summary))
	if r.Disk != "" {
		add("Disk", "%s, %s", r.Disk, disk.Lineage{Key: r.Key, Ref: r.Ref, Platform: r.Platform})
		add("Parent", "%s", parent(r))
		add("Clone", "%s", clone(r.Clone))
		add("Generation", "%s", generation(r))
	}
	if r.Bytes > 0 {
		add("Size", "%s, %s pruned", bytes(r.Bytes), bytes(r.PrunedBytes))
	}
	if r.BuildkitVersion != "" {
		add("BuildKit", "%s, %s driver, ready in %s", r.BuildkitVersion, r.Driver, millis(r.ReadyMillis))
	}
	if !r.Stopped.IsZero() {
		add("End", "%s drain, %s prune, %s stop, %s check, %s commit; policy %s",
			millis(r.DrainMillis), millis(r.PruneMillis), millis(r.StopMillis), millis(r.CheckMillis), millis(r.CommitMillis), r.Policy)
	}
	if len(r.Entitlements) > 0 {
		add("Entitlements", "%s", strings.Join(r.Entitlements, ", "))
	}
	if r.Crash != "" {
		add("Crash", "%s", r.Crash)
	}
	for _, c := range r.Checkpoints {
		add("Checkpoint", "%s, %s, of which builds stood still for %s", c.Generation, millis(c.Milliseconds), millis(c.PauseMilliseconds))
	}
	for _, step := range r.Recovered {
		add("Recovered", "%s", step)
	}
	for _, n := range r.Notes {
		add("Note", "%s", n)
	}
	return f
}

// Cached says how many steps came from the cache.
func Cached(t disk.Tally) string {
	if t.TotalSteps == 0 {
		return "0/0 cached"
	}
	return fmt.Sprintf("%d/%d cached, %s", t.CachedSteps, t.TotalSteps, percent(t.CachedSteps, t.TotalSteps))
}

// percent never says 100 of less than all.
func percent(n, of int) string { return fmt.Sprintf("%d %%", n*100/of) }

func parent(r *sticky.Report) string {
	if r.Parent == "" {
		return "none: the disk was empty"
	}
	s := r.Parent
	if r.Origin != "" {
		s += " of the fallback " + r.Origin
	}
	if r.ParentAgeSeconds != nil {
		s += ", " + strings.ToLower(units.HumanDuration(time.Duration(*r.ParentAgeSeconds)*time.Second)) + " old"
	}
	return s
}

func clone(c disk.Clone) string {
	s := c.Method + ", " + millis(c.Milliseconds)
	if c.Bytes > 0 {
		s += ", " + bytes(c.Bytes) + " copied"
	}
	if c.Traffic != (disk.Traffic{}) {
		s += fmt.Sprintf("; of that restoring %s in %d requests, %s", bytes(c.Traffic.ReceivedBytes), c.Traffic.Requests, millis(c.RestoreMilliseconds))
	}
	return s
}

func generation(r *sticky.Report) string {
	s := r.Generation
	if s == "" {
		s = "-"
	}
	if r.Commit != (disk.Traffic{}) {
		s += fmt.Sprintf(", %s sent in %d requests", bytes(r.Commit.SentBytes), r.Commit.Requests)
	}
	if r.Head != "" && r.Head != r.Generation {
		s += "; the head is " + r.Head
	}
	return s
}

func bytes(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

func millis(n int64) string {
	if n < 10_000 {
		return fmt.Sprintf("%d ms", n)
	}
	return fmt.Sprintf("%.1f s", float64(n)/1000)
}
