package main

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/results"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/meter"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/steps"
)

func job(up, build, down float64, cached, mount int, moved int64) Job {
	s := func(f float64) time.Duration { return time.Duration(f * 1e9) }
	return Job{Up: s(up), Build: s(build), Down: s(down), Steps: steps.Tally{Cached: cached, Total: 4}, Mount: mount, Moved: moved, Kept: 200e6}
}

func sample() *Results {
	return &Results{
		Date: "2024-01-01", Note: "An idle machine.",
		Fixtures: []*Fixture{{Name: "caches", What: "a program", Rows: []FixtureRow{
			{ours, []Job{job(1, 20, 1, 0, 0, 0)}, []Job{job(1, 3, 2, 2, 9, 0), job(1, 1, 2, 2, 9, 0), job(1, 2, 2, 2, 9, 0)}},
			{"docker-container, type=registry", []Job{job(1, 30, 1, 0, 0, 0)}, []Job{job(2, 8, 2.5, 2, 0, 30e6), job(2, 9, 2.5, 2, 0, 30e6)}},
			{"docker-container, type=local", []Job{job(1, 30, 1, 0, 0, 0)}, []Job{job(1, 8, 1, 2, -1, -1)}},
		}}},
		Scaling: []ScalingRow{
			{Pool: "btrfs", GB: 10, Files: 50000, Method: "snapshot", Up: []time.Duration{time.Second / 2}, Clone: []time.Duration{20 * time.Millisecond}, Ready: []time.Duration{300 * time.Millisecond}, Down: []time.Duration{time.Second}},
			{Pool: bootstrap, Up: []time.Duration{time.Second, 3 * time.Second, 2 * time.Second}, Down: []time.Duration{time.Second}},
		},
		Checkpoints: []CheckpointRow{{Pool: "xfs", GB: 1, Files: 5000, Commits: []time.Duration{time.Second}, Pauses: []time.Duration{40 * time.Millisecond}, Gaps: []time.Duration{50 * time.Millisecond, 60 * time.Millisecond, 70 * time.Millisecond}, Usual: 12 * time.Millisecond}},
		Registry: &Registry{
			Changed: 8e6, First: Commit{5 * time.Second, 500e6, meter.Count{Requests: 60, Sent: 250e6}},
			Rebuild: Commit{time.Second, 508e6, meter.Count{Requests: 6, Sent: 8.8e6}}, Nothing: Commit{time.Second, 510e6, meter.Count{Requests: 3, Sent: 20e3}},
			Restores: []Restore{{Mbps: 200, Up: 11 * time.Second, Clone: 10 * time.Second, Raw: 9 * time.Second, Stored: 250e6, Count: meter.Count{Requests: 12}}},
		},
	}
}

func TestReport(t *testing.T) {
	text := strings.Join(strings.Fields(sample().markdown()), " ")
	for _, want := range []string{
		"| date | 2024-01-01 |", "An idle machine.",
		"| docker stickybuilder, dir: | 22.0 | 5.00 | 1.00× | 1.00 | 2.00 | 2.00 | 2/4 | kept | – | 200 |",
		"| docker-container, type=registry | 32.0 | 12.5 | 2.50× | 2.00 | 8.00 | 2.50 | 2/4 | lost | 30 | 200 |",
		"| docker-container, type=local | 32.0 | 10.0 | 2.00× | 1.00 | 8.00 | 1.00 | 2/4 | | ? | 200 |",
		"| second job, × docker stickybuilder | caches |", "| docker-container, type=registry | 2.50× |",
		"| btrfs, 10 GB | 50000 | snapshot | 0.50 | 0.25× | 300 | 200 | 20 | 1.00 |",
		"| `buildx create --bootstrap`, and `rm` | | | 2.00 | 1.00× | | | | 1.00 |",
		"| xfs, 1 GB | 5000 | 1.00 | 40 | 60 | 70 | 12 |",
		"| first | 5.00 | 500 | 100 | 250.00 | 0.50× | 60 |",
		"| after a small rebuild | 1.00 | 8.0 | 8 | 8.80 | 1.10× | 6 |",
		"| of nothing new | 1.00 | – | | 0.02 | | 3 |",
		"| 200 Mb/s | 11.0 | 10.0 | 9.00 | 0.90 | 250 | 51 | 12 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(sample().markdown())
	}
}

func TestResultsAreKept(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "r.json")
	if err := sample().write(file, filepath.Join(dir, "r.md")); err != nil {
		t.Fatal(err)
	}
	r, err := results.Read[Results](file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.Fixtures, sample().Fixtures) || !reflect.DeepEqual(r.Registry, sample().Registry) {
		t.Errorf("read back %+v", r)
	}
	r.replace(&Fixture{Name: "caches", What: "new"})
	r.replace(&Fixture{Name: "big"})
	if len(r.Fixtures) != 2 || r.Fixtures[0].What != "new" {
		t.Errorf("replaced: %+v", r.Fixtures)
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-contestants", "keep-state,tar", "-sizes", "0.5", "-links", "10", "-pools", "xfs"})
	if err != nil {
		t.Fatal(err)
	}
	m := meter.Listen("127.0.0.1:1")
	defer m.Close()
	var names []string
	for _, c := range o.contestants(place{b: &bed.Bed{}, meter: m}) {
		names = append(names, c.name())
	}
	if want := []string{ours, "docker-container, --keep-state", "tar + zstd of the state"}; !reflect.DeepEqual(names, want) {
		t.Errorf("contestants %q, want %q", names, want)
	}
	if len(o.fixtures) != 4 || o.sizes[0] != 0.5 || o.links[0] != 10 || !reflect.DeepEqual(o.sections, allSections) {
		t.Errorf("options %+v", o)
	}
	for _, args := range [][]string{{"-sections", "nothing"}, {"-fixtures", "x"}, {"-pools", "zfs"}, {"-sizes", "-1"}, {"-links", "x"}, {"-repeat", "0"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("parse(%q) gives no error", args)
		}
	}
}

func TestFixtures(t *testing.T) {
	o := options{layers: 32, big: 2}
	for _, f := range fixtures {
		dockerfile := f.files(o, "base")["Dockerfile"]
		if !strings.HasPrefix(dockerfile, "FROM base") || f.what(o) == "" {
			t.Errorf("%s: %s", f.name, dockerfile)
		}
		for name := range f.second {
			if f.first[name] == f.second[name] {
				t.Errorf("%s: %s is the same in both jobs", f.name, name)
			}
		}
		text, err := f.bake("registry:5000")
		if err != nil {
			t.Fatal(err)
		}
		var bake struct {
			Group  map[string]struct{ Targets []string }
			Target map[string]struct {
				Target string
				Tags   []string
			}
		}
		if err := json.Unmarshal([]byte(text), &bake); err != nil {
			t.Fatal(err)
		}
		for _, name := range f.targets {
			stage := bake.Target[name].Target
			if len(f.targets) > 1 && (stage != name || !strings.Contains(dockerfile, " AS "+name+"\n")) {
				t.Errorf("%s: target %s builds stage %q", f.name, name, stage)
			}
			if want := "registry:5000/" + f.name + "/" + name + ":latest"; len(bake.Target[name].Tags) != 1 || bake.Target[name].Tags[0] != want {
				t.Errorf("%s: %+v", f.name, bake.Target[name])
			}
		}
		if !reflect.DeepEqual(bake.Group["default"].Targets, f.targets) {
			t.Errorf("%s: %+v", f.name, bake.Group)
		}
	}
	if n := strings.Count(fixtures[fixtureNamed("layers")].files(o, "base")["Dockerfile"], "RUN "); n != 32 {
		t.Errorf("%d steps", n)
	}
}

func TestFilesInMount(t *testing.T) {
	for text, want := range map[string]int{"": -1, "x\n" + mountSays + "0\n": 0, mountSays + "812\n{}": 812} {
		if got := filesInMount(text); got != want {
			t.Errorf("filesInMount(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestGaps(t *testing.T) {
	at := func(s float64) time.Time { return time.UnixMicro(int64(s * 1e6)) }
	spans := []span{{at(101.9), at(102.1)}, {at(105.2), at(105.3)}}
	out := "gap 100 11000\ngap 101 12000\ngap 102 90000\r\ngap 103 13000\nother\ngap 105 70000\ngap 106 12500\n"
	during, usual, err := gaps(out, spans)
	if want := []time.Duration{90 * time.Millisecond, 70 * time.Millisecond}; err != nil || !reflect.DeepEqual(during, want) || usual != 13*time.Millisecond {
		t.Errorf("%v, %v, %v", during, usual, err)
	}
	if _, _, err := gaps("gap 101 1\n", spans); err == nil {
		t.Error("a build that did not run during a checkpoint gives no error")
	}
}
