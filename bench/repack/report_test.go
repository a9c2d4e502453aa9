package main

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/machine"
	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/internal/results"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/change"
)

func sample() *Results {
	run := func(wall, cpu float64, rss int64) measure.Usage {
		return measure.Usage{Wall: time.Duration(wall * 1e9), CPU: time.Duration(cpu * 1e9), RSS: rss, Disk: 3e6}
	}
	return &Results{
		Date:  "2024-01-01",
		Facts: machine.Facts{CPU: "Some CPU", Cores: 2, Memory: 8e9, Kernel: "6.1", OS: "Debian", Tools: map[string]string{"skopeo": "1.9.3"}},
		Contests: []*Contest{{
			Image: "python", Source: bed.Shape{Bytes: 600e6, Layers: 8, Largest: 300e6}, Pull: 20 * time.Second,
			Entries: []ContestRow{
				{Contestant: ours, Runs: []measure.Usage{run(12, 20, 100e6), run(10, 21, 90e6), run(11, 19, 80e6)}, Shape: bed.Shape{Bytes: 200e6, Layers: 5, Largest: 50e6}, Tree: "equal", Outside: "equal", Pull: 5 * time.Second},
				{Contestant: rivalName, Runs: []measure.Usage{run(110, 200, 900e6)}, Shape: bed.Shape{Bytes: 220e6, Layers: 8, Largest: 60e6}, Tree: "3 missing", Outside: "4 differ"},
			},
		}},
		Limit: &Limit{
			Image: "python", Tar: 1000e6,
			Ours: []LimitRow{{"registry → registry, verified", 200e6, []measure.Usage{run(10, 20, 1)}}},
			Zstd: []LimitRow{{"zstd -T0 -1", 300e6, []measure.Usage{run(1, 2, 1)}}, {"zstd -T0 -9", 200e6, []measure.Usage{run(8, 16, 1)}}, {"zstd -T0 -3 --long=27", 190e6, []measure.Usage{run(7, 14, 1)}}},
		},
		Memory:       []MemoryRow{{Contestant: ours, Source: bed.Shape{Bytes: 200e6}, Usage: run(4, 6, 150e6), Shape: bed.Shape{Bytes: 180e6}}},
		Links:        []LinkRow{{Image: "small", Mbps: 50, Measured: 49.6, Variant: "source", Bytes: 219e6, Pulls: []Duration{40 * time.Second}, Predicted: 36 * time.Second}, {Image: "small", Mbps: 50, Measured: 49.7, Variant: ours, Bytes: 150e6, Pulls: []Duration{20 * time.Second}}},
		Updates:      []Update{{Release: 2, What: "code", Changed: change.Size{Contents: 1e6, Entries: 2e6}, Source: 8e6, Previous: 3e6, Repacked: 5e6, Rival: 30e6}},
		Reproduction: []Reproduction{{"small", 1, "sha256:ab"}},
	}
}

func TestReport(t *testing.T) {
	text := strings.Join(strings.Fields(strings.ReplaceAll(sample().markdown(), "`", "")), " ")
	for _, want := range []string{
		"| date | 2024-01-01 |", "| processor | Some CPU, 2 cores |", "| skopeo | 1.9.3 |",
		// medians of the times, peaks of memory
		"| docker repack (balanced) | 11.0 | 1.00× | 20.0 | 1.00× | 100 | 3.0 | 200 | 1.00× | 5 | 50 | 5.00 | equal |",
		"| docker-repack + skopeo | 110.0 | 10.0× | 200.0 | 10.0× | 900 | 3.0 | 220 | 1.10× | 8 | 60 | – | 3 missing |",
		"| (source) | | | | | | | 600 | 3.00× | 8 | 300 | 20.0 | |",
		"docker repack (balanced): equal; docker-repack + skopeo: 4 differ.",
		"| registry → registry, verified | 10.0 | 20.0 | 200 | 5.00× | 0.70× |",
		"zstd of equal or smaller size, zstd -T0 -3 --long=27, being 1",
		"| docker repack (balanced) | 200 | 4.00 | 6.00 | 150 | 3.0 | 0.01 | 180 |",
		"| 50 Mb/s: source | 50 | 219 | 40.0 | 2.00× | 36.0 | 0.90× |",
		"| 2: code | 1.0 | 2.0 | 8.0 | 3.0 | 5.0 | 30 |",
		"| × changed entries | | | 4.00× | 1.50× | 2.50× | 15.0× |",
		"| small | 1 | sha256:ab |",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(sample().markdown())
	}
}

func TestResultsAreKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "results.json")
	r, err := results.Read[Results](path)
	if err != nil || !reflect.DeepEqual(r, &Results{}) {
		t.Fatalf("reading what is not there: %+v, %v", r, err)
	}
	want := sample()
	if err := want.write(path, filepath.Join(dir, "RESULTS.md")); err != nil {
		t.Fatal(err)
	}
	got, err := results.Read[Results](path)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if string(a) != string(b) {
		t.Errorf("read back:\n%s\nwritten:\n%s", b, a)
	}
	got.replace(&Contest{Image: "python"})
	got.replace(&Contest{Image: "java"})
	if len(got.Contests) != 2 || len(got.Contests[0].Entries) != 0 {
		t.Errorf("contests = %+v, want the new one of python, and java", got.Contests)
	}
}

func TestCountDifferences(t *testing.T) {
	const answer = `{"equal": false, "differences": [
		{"path": "a", "what": "entry", "a": "file", "b": ""},
		{"path": "b", "what": "entry", "a": "", "b": "file"},
		{"path": "c", "what": "mode", "a": "1", "b": "2"},
		{"path": "c", "what": "mtime", "a": "1", "b": "2"},
		{"what": "cmd", "a": "x", "b": "y"}]}`
	got, err := countDifferences([]byte(answer))
	if want := "1 missing, 1 extra, 2 changed"; err != nil || got != want {
		t.Errorf("countDifferences = %q, %v, want %q", got, err, want)
	}
	if _, err := countDifferences([]byte("no")); err == nil {
		t.Error("no error")
	}
}

func TestPredicted(t *testing.T) {
	const answer = `{"images": [{"times": [{"profile": "dockerd", "seconds": 2}, {"profile": "containerd", "seconds": 1.5}]}]}`
	if got, err := predicted([]byte(answer)); err != nil || got != 1500*time.Millisecond {
		t.Errorf("predicted = %s, %v", got, err)
	}
	for _, bad := range []string{"no", `{"images": []}`} {
		if _, err := predicted([]byte(bad)); err == nil {
			t.Errorf("predicted(%s) gives no error", bad)
		}
	}
}

func TestEnough(t *testing.T) {
	s := measure.Usage{Wall: 4 * time.Second}
	for _, c := range []struct {
		runs []measure.Usage
		want bool
	}{{nil, false}, {[]measure.Usage{s}, false}, {[]measure.Usage{s, s}, false}, {[]measure.Usage{s, s, s}, true}, {[]measure.Usage{{Wall: time.Minute}}, true}} {
		if got := enough(c.runs, 3, 10*time.Second); got != c.want {
			t.Errorf("enough after %d runs = %t", len(c.runs), got)
		}
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-images", "a,b", "-contestants", "regctl", "-sizes", "0.5", "-links", "10"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range o.contestants() {
		names = append(names, c.name)
	}
	if want := []string{ours, "regctl --layer-compress zstd"}; !reflect.DeepEqual(names, want) {
		t.Errorf("contestants = %q, want %q", names, want)
	}
	if len(o.images) != 2 || o.sizes[0] != 0.5 || o.links[0] != 10 || len(o.sections) != len(allSections) {
		t.Errorf("options = %+v", o)
	}
	for _, args := range [][]string{{"-sections", "nothing"}, {"-sizes", "-1"}, {"-links", "x"}, {"-repeat", "0"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("parse(%q) gives no error", args)
		}
	}
}

func TestReleasesDiffer(t *testing.T) {
	seen := map[string]int{}
	for n := 1; n <= releases; n++ {
		args, what := release(n)
		if args["VERSION"] == "" || what == "" {
			t.Errorf("release %d: %v, %q", n, args, what)
		}
		seen[args["DEPS"]+args["UPGRADE"]]++
	}
	if want := map[string]int{"1": 3, "2": 2, "2yes": 2, "3yes": 3}; !reflect.DeepEqual(seen, want) {
		t.Errorf("releases by what is below their code: %v, want %v", seen, want)
	}
}
