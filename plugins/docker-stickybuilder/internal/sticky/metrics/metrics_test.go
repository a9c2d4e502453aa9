package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
)

func sample(t *testing.T) *sticky.Report {
	t.Helper()
	text, err := os.ReadFile("../testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	var r sticky.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// parse reads the text as Prometheus does, lints it, and finds series that come twice.
func parse(t *testing.T, r *sticky.Report) (map[string]*dto.MetricFamily, string) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	problems, err := promlint.New(bytes.NewReader(b.Bytes())).Lint()
	if err != nil || len(problems) != 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	for name, f := range all {
		seen := map[string]bool{}
		for _, m := range f.Metric {
			id := fmt.Sprint(m.Label)
			if seen[id] {
				t.Errorf("%s comes twice with %s", name, id)
			}
			seen[id] = true
			if m.TimestampMs != nil {
				t.Errorf("%s has a time, which the textfile collector refuses", name)
			}
		}
	}
	return all, b.String()
}

func TestGolden(t *testing.T) {
	_, got := parse(t, sample(t))
	const file = "testdata/report.prom"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestRunning(t *testing.T) {
	r := sample(t)
	r.Stopped, r.Decision = time.Time{}, sticky.Undecided
	all, _ := parse(t, r)
	for _, name := range []string{"stickybuilder_commit_seconds", "stickybuilder_stop_time_seconds", "stickybuilder_clean_shutdown"} {
		if all[name] != nil {
			t.Errorf("%s of a builder that is up", name)
		}
	}
	if all["stickybuilder_build_seconds"] == nil {
		t.Error("no builds")
	}
}

// Names come from whoever builds: they are neither to break the format nor to make
// any number of series.
func TestUntrustedNames(t *testing.T) {
	r := sample(t)
	r.Builds = nil
	for i := range 3 * maxSeries {
		r.Builds = append(r.Builds, history.Build{Name: fmt.Sprintf("\"}\n\\ 1\nx{y=\"%d", i), Outcome: history.OK, Seconds: 1})
	}
	r.Builds[0].Name, r.Ref = "\xff\xfe", "a\"\n# TYPE x counter"
	all, text := parse(t, r)
	if n := len(all["stickybuilder_build_seconds"].Metric); n != maxSeries+1 {
		t.Errorf("%d series", n)
	}
	var sum float64
	for _, m := range all["stickybuilder_build_seconds"].Metric {
		sum += m.Gauge.GetValue()
	}
	if sum != 3*maxSeries {
		t.Errorf("%v seconds", sum)
	}
	if strings.Contains(text, "\n# TYPE x") || all["x"] != nil {
		t.Error("a name has become a line")
	}
}

func FuzzNames(f *testing.F) {
	f.Add("app", "prod", "a\"\\\n")
	f.Fuzz(func(t *testing.T, name, target, key string) {
		r := &sticky.Report{Key: key, Builds: []history.Build{{Name: name, Target: target}, {Name: name + "\xff"}, {Name: name + "\uFFFD"}}}
		parse(t, r)
	})
}
