package sticky

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// intended makes a builder of which there is no more than that it was asked for.
func intended(t *testing.T, h Host, name, spec string) {
	t.Helper()
	dir := h.State.Dir(name)
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	id, err := h.newID()
	if err != nil {
		t.Fatal(err)
	}
	i := &instance.Instance{Format: disk.Format, Name: name, Disk: spec, Created: time.Now(), Working: disk.Working{ID: id, Lineage: disk.Lineage{Key: "k", Platform: "p"}}}
	if err := dir.Save(i); err != nil {
		t.Fatal(err)
	}
}

// An up was killed before it had done anything, and maybe because of its disk.
func TestRecoverFromTheIntentAlone(t *testing.T) {
	h, store := newHost(t)
	h.IsRoot = false // other pools of this machine are not its business
	intended(t, h, "a", "dir:"+filepath.Join(t.TempDir(), "pool"))
	intended(t, h, "b", "dir:/etc/passwd")
	o := upOptions(t, store)
	notes := h.deadOnes("b")
	if len(notes) != 1 || !strings.Contains(notes[0], "the supervisor of builder a died: docker stickybuilder recover") {
		t.Errorf("%q", notes)
	}
	done, err := h.Recover(t.Context(), "", progress.Discard)
	if err != nil || len(done.Reports) != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, r := range done.Reports {
		if r.Decision != Discarded || r.Reason != "it was never started" {
			t.Errorf("%+v", r)
		}
	}
	if names, err := h.State.Names(); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	if notes := h.deadOnes(o.Name); len(notes) != 0 {
		t.Errorf("%q", notes)
	}
}

// What lives is told from what has died, and what has died from what runs on without
// a supervisor.
func TestOrphans(t *testing.T) {
	h, _ := newHost(t)
	self, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	gone := self
	gone.Start++
	for name, run := range map[string]instance.Run{
		"dead":   {Supervisor: gone, Buildkitd: gone},
		"lives":  {Phase: instance.PhaseReady, Supervisor: self, Buildkitd: self},
		"orphan": {Supervisor: gone, Buildkitd: self},
	} {
		intended(t, h, name, "dir:/none")
		if err := h.State.Dir(name).SaveRun(run); err != nil {
			t.Fatal(err)
		}
		s, err := h.Status(name)
		if err != nil || s.Orphan != (name == "orphan") || (s.State == StateDead) != (name != "lives") {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	notes := h.deadOnes("")
	slices.Sort(notes)
	if len(notes) != 2 || !strings.Contains(notes[0], "dead died: ") || !strings.Contains(notes[1], "orphan died, and its buildkitd runs on: ") {
		t.Errorf("%q", notes)
	}
}

func TestLease(t *testing.T) {
	self, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if l := lease(&instance.Instance{}); l != nil {
		t.Errorf("%+v", l)
	}
	if l := lease(&instance.Instance{Job: self, JobName: "Runner.Worker"}); l == nil || *l != (Lease{PID: self.PID, Name: "Runner.Worker", Alive: true, Policy: "auto", OnConflict: "keep-richer", DrainSeconds: 30}) {
		t.Errorf("%+v", l)
	}
	self.Start++ // another process has that number now
	if l := lease(&instance.Instance{Job: self}); l == nil || l.Alive {
		t.Errorf("%+v", l)
	}
}
