package sticky

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

func TestSetEnv(t *testing.T) {
	for before, want := range map[string]string{
		"":      "BUILDX_BUILDER=x\n",
		"A=1\n": "A=1\nBUILDX_BUILDER=x\n",
		"A=1":   "A=1\nBUILDX_BUILDER=x\n",
	} {
		path := filepath.Join(t.TempDir(), "env")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := setEnv(path, "x"); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%q became %q, %v", before, got, err)
		}
	}
}

func TestUpRefusesAnEnvironmentThatCannotBeWritten(t *testing.T) {
	h, store := newHost(t)
	o := upOptions(t, store)
	o.EnvFile = &instance.EnvFile{Path: filepath.Join(t.TempDir(), "none", "env")}
	_, err := h.Up(t.Context(), o, progress.Discard)
	if err == nil || !strings.Contains(err.Error(), "setting BUILDX_BUILDER") || !strings.Contains(fault.HintOf(err), "--no-use") {
		t.Errorf("%v (hint %q)", err, fault.HintOf(err))
	}
	if names, err := h.State.Names(); err != nil || len(names) != 0 {
		t.Errorf("instances %v, %v", names, err)
	}
}

// Each step of a job has a file of its own; up's is gone when down comes.
func TestDownTellsThePresentStep(t *testing.T) {
	h, i, _ := dead(t, jsonOK)
	old, now := i.Environment.Path, filepath.Join(t.TempDir(), "now")
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(now, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Auto, EnvFile: now}, progress.Discard); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(now); err != nil || string(got) != "BUILDX_BUILDER=mine\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Lstat(old); !os.IsNotExist(err) {
		t.Errorf("the old step's file has come back: %v", err)
	}
}

// No builder stays for ever because nobody can be told that it is gone.
func TestDownWithoutTheEnvironment(t *testing.T) {
	for _, now := range []string{"", "/nonexistent/env"} {
		h, i, _ := dead(t, jsonOK)
		if err := os.Remove(i.Environment.Path); err != nil {
			t.Fatal(err)
		}
		r, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Auto, EnvFile: now}, progress.Discard)
		if (err != nil) != (now != "") || r == nil {
			t.Errorf("%q: %+v, %v", now, r, err)
		}
		if names, err := h.State.Names(); err != nil || len(names) != 0 {
			t.Errorf("%q: instances %v, %v", now, names, err)
		}
	}
}

// A file that the user named is no step's: down writes there, and nowhere else.
func TestDownTellsTheNamedFile(t *testing.T) {
	h, i, _ := dead(t, jsonOK)
	i.Environment.Named = true
	if err := h.State.Dir("sticky").Save(i); err != nil {
		t.Fatal(err)
	}
	now := filepath.Join(t.TempDir(), "now")
	if err := os.WriteFile(now, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Auto, EnvFile: now}, progress.Discard); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{now: "", i.Environment.Path: "BUILDX_BUILDER=mine\n"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}
