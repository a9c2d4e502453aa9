package instance

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
)

func TestFiles(t *testing.T) {
	s := State(filepath.Join(t.TempDir(), "state"))
	if names, err := s.Names(); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	lock, err := s.Lock(t.Context(), "b", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := s.Lock(t.Context(), "b", 0); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	d := s.Dir("b")
	if i, err := d.Load(); i != nil || err != nil {
		t.Errorf("%v, %v", i, err)
	}
	if r, err := d.LoadRun(); r != (Run{}) || err != nil {
		t.Errorf("%v, %v", r, err)
	}
	if st, err := d.LoadStop(); st != nil || err != nil {
		t.Errorf("%v, %v", st, err)
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		t.Fatal(err)
	}
	i := &Instance{
		Format: disk.Format, Name: "b", Disk: "dir:/x", Created: time.Unix(1e9, 0).UTC(), Working: disk.Working{ID: "w"},
		ReadyTimeout: time.Minute, Previous: &Current{Name: "old", Global: true},
	}
	r := Run{Phase: PhaseReady, Supervisor: process.ID{PID: 7, Start: 8, Boot: "x"}}
	st := Stop{Policy: "never", Drain: time.Second}
	if err := errors.Join(d.Save(i), d.SaveRun(r), d.SaveStop(st)); err != nil {
		t.Fatal(err)
	}
	gotI, err1 := d.Load()
	gotR, err2 := d.LoadRun()
	gotS, err3 := d.LoadStop()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(i, gotI) + cmp.Diff(r, gotR) + cmp.Diff(&st, gotS); diff != "" {
		t.Error(diff)
	}
	if names, err := s.Names(); err != nil || !slices.Equal(names, []string{"b"}) {
		t.Errorf("%v, %v", names, err)
	}
	for range 2 { // the second time there is nothing to archive
		if err := s.Archive("b"); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := s.Names(); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestArchiveReplaces(t *testing.T) {
	s := State(t.TempDir())
	for _, disk := range []string{"one", "two"} {
		if err := errors.Join(os.MkdirAll(string(s.Dir("b")), 0o700), s.Dir("b").Save(&Instance{Disk: disk}), os.MkdirAll(s.Dir("b").File(Copied), 0o700), s.Archive("b")); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := s.Last("b").Load(); err != nil || i.Disk != "two" {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := os.Stat(s.Last("b").File(Copied)); !os.IsNotExist(err) {
		t.Errorf("what a command that was killed had for a moment: %v", err)
	}
}

func TestNewerInstance(t *testing.T) {
	s := State(t.TempDir())
	if err := errors.Join(os.MkdirAll(string(s.Dir("b")), 0o700), s.Dir("b").Save(&Instance{Format: disk.Format + 1})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Dir("b").Load(); !errors.Is(err, disk.ErrNewer) {
		t.Error(err)
	}
}

func TestSocketDir(t *testing.T) {
	const most = 104
	short := State(filepath.Join(t.TempDir(), "s")).Dir("b")
	long := State(filepath.Join(t.TempDir(), strings.Repeat("long/", 30))).Dir("b")
	longer := State(filepath.Join(t.TempDir(), strings.Repeat("long/", 31))).Dir("b")
	for _, d := range []Dir{short, long, longer} {
		for _, s := range []string{d.Socket(), d.TraceSocket()} {
			if len(s) > most {
				t.Errorf("%d bytes: %s", len(s), s)
			}
		}
	}
	if filepath.Dir(short.Socket()) != short.File("run") {
		t.Errorf("socket %s", short.Socket())
	}
	if long.Socket() == longer.Socket() || long.Cgroup() == longer.Cgroup() {
		t.Error("two builders share a socket or a control group")
	}
	if err := short.MakeSocketDir(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(short.Socket(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := short.MakeSocketDir(); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Dir(short.Socket()))
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if _, err := os.Stat(short.Socket()); err == nil {
		t.Error("a stale socket was kept")
	}
	if err := errors.Join(short.RemoveSocketDir(), short.RemoveSocketDir()); err != nil {
		t.Error(err)
	}
}

// The answer to a request is never that to the one before.
func TestSaveCommitForgetsTheAnswerBefore(t *testing.T) {
	d := Dir(t.TempDir())
	if err := os.WriteFile(d.File(Committed), []byte(`{"generation":"old"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.SaveCommit(Commit{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(d.File(Committed)); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
	if c, err := d.LoadCommit(); err != nil || c.ID != "x" {
		t.Errorf("%+v, %v", c, err)
	}
}
