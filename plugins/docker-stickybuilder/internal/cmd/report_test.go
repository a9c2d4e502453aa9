package cmd

import (
	"bytes"
	"testing"
	"text/tabwriter"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
)

func TestReportTable(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	err := reportTable(w, &sticky.Report{
		Name: "sticky", Decision: sticky.Discarded, Reason: "1 of 2 builds succeeded, 1 failed",
		Builds: []history.Build{
			{Ref: "abcdefghijklmnop", Name: "app", Target: "prod", Outcome: history.OK, CachedSteps: 7, TotalSteps: 9, Seconds: 12.34},
			{Ref: "b", Outcome: history.Failed, TotalSteps: 5, Error: "exit code: 7"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Flush()
	const want = `BUILD         NAME  TARGET  OUTCOME  CACHED  SECONDS  ERROR
abcdefghijkl  app   prod    ok       7/9     12.3     
b             -     -       failed   0/5     0.0      exit code: 7

DECISION    discard: 1 of 2 builds succeeded, 1 failed
GENERATION  -
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestUpTable(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	if err := upTable(w, &sticky.Upped{Mode: "sticky", Name: "n", Driver: "process", Endpoint: "unix:///s", Disk: "dir:/p", Key: "k", Cache: "cold", Clone: disk.Clone{Method: "empty", Milliseconds: 3}, ReadyMillis: 90}); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	const want = `MODE        sticky
NAME        n
DRIVER      process
ENDPOINT    unix:///s
DISK        dir:/p
KEY         k
REF         -
GENERATION  -
CACHE       cold
CLONE       empty, 3 ms
READY       90 ms
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
