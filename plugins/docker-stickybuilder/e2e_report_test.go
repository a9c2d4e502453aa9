package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A job as CI has it: what it has built stands in the step's summary, in the metrics
// for node_exporter, and in the reports that are kept.
func TestReportsOfAJob(t *testing.T) {
	j := newJob(t)
	summary, prom := filepath.Join(t.TempDir(), "summary.md"), filepath.Join(t.TempDir(), "sticky.prom")
	j.env = append(j.env, "GITHUB_STEP_SUMMARY="+summary)
	j.upNamed("sticky")
	j.mustBuild()
	j.down("--no-summary")
	if _, err := os.Stat(summary); err == nil {
		t.Error("--no-summary has written a summary")
	}

	j.upNamed("sticky")
	j.mustBuild("--platform", "linux/amd64")
	if err := j.build("-f", "fail.Dockerfile"); err == nil {
		t.Error("a RUN that fails")
	}
	type whole struct {
		Decision, Driver, Cache, BuildkitVersion string
		ParentAgeSeconds                         *float64
		ReadyMilliseconds, StopMilliseconds      int64
		Builds                                   []struct{ Name, Platform, Outcome string }
	}
	var r whole
	j.sticky(&r, "report")
	if r.Decision != "undecided" || r.Cache != "warm" || r.ParentAgeSeconds == nil || *r.ParentAgeSeconds > 600 || r.ReadyMilliseconds == 0 || len(r.Builds) != 2 || r.Builds[0].Platform != "linux/amd64" {
		t.Errorf("so far: %+v", r)
	}
	down := j.down()
	var kept []whole
	j.sticky(&kept, "report", "--all")
	if len(kept) != 2 || kept[0].Decision != down.Decision || kept[0].StopMilliseconds == 0 || kept[0].Driver != "process" || kept[0].Builds[1].Outcome != "failed" || kept[1].Cache != "cold" {
		t.Errorf("kept: %+v", kept)
	}

	text, err := os.ReadFile(summary)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"### Sticky builder sticky: discard\n", "| src | ", "| ok | 3/3 (100 %) | ", "| **failed** | ", "exit code: 7 |\n", "| Decision | discard: 1 of 2 builds succeeded, 1 failed |\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the summary lacks %q:\n%s", want, text)
		}
	}

	if _, err := j.run("docker-stickybuilder", "report", "--format", "prometheus", "--output", prom); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(prom)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(f)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("node_exporter cannot read it: %v, %v", info.Mode(), err)
	}
	value := func(name string, labels ...string) float64 {
		t.Helper()
		for _, m := range all["stickybuilder_"+name].GetMetric() {
			found := 0
			for _, l := range m.Label {
				for i := 0; i < len(labels); i += 2 {
					if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
						found += 2
					}
				}
			}
			if found == len(labels) {
				return m.Gauge.GetValue()
			}
		}
		t.Errorf("no %s with %v", name, labels)
		return -1
	}
	if value("decision", "decision", "discard", "key", "k") != 1 || value("builds", "outcome", "failed") != 1 || value("build_cached_steps", "outcome", "ok") != 3 ||
		value("disk_warm") != 1 || value("stop_seconds") <= 0 || value("ready_seconds") <= 0 {
		t.Errorf("%v", all)
	}
	j.nothingLeft()
}
