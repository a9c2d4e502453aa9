package record_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

var digest = "sha256:" + strings.Repeat("ab", 32)

func example() record.Record {
	log := intoto.Descriptor{Name: "smoke.log", MediaType: "text/plain", Digest: intoto.Digests(digest), Annotations: map[string]string{"size": "12"}}
	tests := []record.Test{{Name: "a", Status: record.Pass}, {Name: "b", Status: record.Fail, Reason: "exit status 1, want 0"}}
	return record.Record{
		Schema:   wire.PredicateCompatibility,
		Status:   record.Fail,
		Manifest: &record.Manifest{ID: digest, Name: "app"},
		Image:    record.Image{Name: "ghcr.io/org/app", Index: digest, Manifest: digest, Config: digest, DiffIDs: []string{digest}},
		Platform: "linux/arm64/v8",
		Base:     record.Base{Name: "debian:12", Digest: digest, Source: "flag"},
		Host:     record.Host{OS: "linux", Runner: "docker", Version: "29.1"},
		Suites:   []record.Suite{{Name: "smoke", Kind: "smoke", Digest: digest, Status: record.Fail, Counts: record.Count(tests), Tests: tests, Log: log}},
		SBOM:     &record.SBOM{Descriptor: log, Format: "SPDX-2.3", Packages: 3},
		Started:  time.Unix(1_700_000_000, 0).UTC(),
		Finished: time.Unix(1_700_000_060, 0).UTC(),
	}
}

func TestRecordFitsTheSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(record.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("record.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("record.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(r record.Record) error {
		data, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	if err := check(example()); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*record.Record){
		"status":  func(r *record.Record) { r.Status = "maybe" },
		"base":    func(r *record.Record) { r.Base.Digest = "sha256:1" },
		"schema":  func(r *record.Record) { r.Schema = "x" },
		"time":    func(r *record.Record) { r.Started = time.Unix(1, 5) },
		"diffIDs": func(r *record.Record) { r.Image.DiffIDs = nil },
	} {
		r := example()
		change(&r)
		if check(r) == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

func TestParse(t *testing.T) {
	data, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := r.Encode(); !bytes.Equal(data, again) {
		t.Error("reading and writing gives other bytes")
	}
	for name, change := range map[string]func(*record.Record){
		"a pass over a failed test":  func(r *record.Record) { r.Status = record.Pass },
		"a suite that disagrees":     func(r *record.Record) { r.Suites[0].Status, r.Status = record.Pass, record.Pass },
		"counts that do not add up":  func(r *record.Record) { r.Suites[0].Counts.Pass = 2 },
		"no suites":                  func(r *record.Record) { r.Suites, r.Status = nil, record.Pass },
		"no base":                    func(r *record.Record) { r.Base = record.Base{} },
		"another schema":             func(r *record.Record) { r.Schema = "x" },
		"a manifest id of no digest": func(r *record.Record) { r.Manifest.ID = "x" },
	} {
		r := example()
		change(&r)
		data, _ := json.Marshal(r)
		if _, err := record.Parse(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestOverall(t *testing.T) {
	for want, statuses := range map[record.Status][][]record.Status{
		record.Pass:  {{record.Pass}, {record.Pass, record.Pass}},
		record.Fail:  {{record.Fail}, {record.Error, record.Fail}, {record.Pass, record.Fail, record.Error}},
		record.Error: {{}, {record.Error}, {record.Pass, record.Error}, {"nonsense"}},
	} {
		for _, s := range statuses {
			if got := record.Overall(s...); got != want {
				t.Errorf("Overall(%q) = %s, want %s", s, got, want)
			}
		}
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "records")
	files := []record.File{{Suffix: ".smoke.log", Data: []byte("log")}}
	r := example()
	path, err := r.Save(t.Context(), dir, files)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := r.Encode()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	before := list(t, dir)
	if again, err := r.Save(t.Context(), dir, files); err != nil || again != path {
		t.Errorf("saving again: %s, %v", again, err)
	}
	if after := list(t, dir); len(before) != 2 || len(after) != 2 {
		t.Errorf("files %q, then %q", before, after)
	}
	stem := strings.TrimSuffix(path, ".json")
	if data, err := os.ReadFile(stem + ".smoke.log"); err != nil || string(data) != "log" {
		t.Errorf("log: %q, %v", data, err)
	}
}

func TestSaveLeavesNothingAfterAnError(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "records")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := example().Save(cancelled, dir, nil); err == nil {
		t.Error("saved although cancelled")
	}
	// A directory where the second file goes makes the rename fail.
	stem, err := example().Stem()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(parent, "busy", stem+".b", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	busy := filepath.Join(parent, "busy")
	if _, err := example().Save(t.Context(), busy, []record.File{{Suffix: ".a", Data: []byte("1")}, {Suffix: ".b", Data: []byte("2")}}); err == nil {
		t.Error("saved over a directory")
	}
	if got := list(t, parent); len(got) != 1 || got[0] != "busy" {
		t.Errorf("left %q", got)
	}
	if got := list(t, busy); len(got) != 1 {
		t.Errorf("left %q", got)
	}
}
