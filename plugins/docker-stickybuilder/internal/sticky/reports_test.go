package sticky

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
)

func TestReports(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := Host{State: instance.State(t.TempDir()), Now: func() time.Time { return now }}
	if all, err := h.Reports("a", 0); err != nil || all == nil || len(all) != 0 {
		t.Errorf("none yet: %v, %v", all, err)
	}
	for n := range 3 {
		i := &instance.Instance{Name: "a", Working: disk.Working{ID: disk.NewID(now.Add(time.Duration(n)*time.Hour), make([]byte, 6))}}
		if err := h.keep(i, &Report{Name: "a", BuildkitVersion: "v1", Reason: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
		// A builder that never came up is no run.
		i.Working.ID = disk.NewID(now.Add(time.Duration(n)*time.Hour+time.Minute), make([]byte, 6))
		if err := h.keep(i, &Report{Name: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	dir := h.State.Dir("a")
	lock, err := h.State.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	present := &instance.Instance{Name: "a", Disk: "dir:/p", Created: now, Working: disk.Working{
		ID: disk.NewID(now, make([]byte, 6)), Lineage: disk.Lineage{Key: "k", Ref: "r"},
		Parent: "20260101T030405Z-000000000000", Born: now.Add(-24 * time.Hour), Clone: disk.Clone{Method: "snapshot", Milliseconds: 7},
	}}
	if err := errors.Join(os.MkdirAll(string(dir), 0o700), dir.Save(present)); err != nil {
		t.Fatal(err)
	}
	if err := dir.SaveRun(instance.Run{ReadyMillis: 90, BuildkitVersion: "v2", Crash: "buildkitd died"}); err != nil {
		t.Fatal(err)
	}
	all, err := h.Reports("a", 3)
	if err != nil || len(all) != 3 || all[1].Reason != "2" || all[2].Reason != "1" {
		t.Fatalf("%+v, %v", all, err)
	}
	r := all[0]
	if r.Decision != Undecided || r.Cache != "warm" || *r.ParentAgeSeconds != 86400 || r.ReadyMillis != 90 || r.Clone.Milliseconds != 7 || r.Crash != "buildkitd died" || r.Key != "k" || r.Driver != ProcessDriver || r.Builds == nil {
		t.Errorf("%+v", r)
	}

	// A supervisor that has come to an end without down has decided.
	if err := durable.WriteJSON(dir.File(instance.Report), Report{Name: "a", Decision: Committed}, 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := h.Reports("a", 1); err != nil || len(all) != 1 || all[0].Decision != Committed {
		t.Errorf("%+v, %v", all, err)
	}
}
