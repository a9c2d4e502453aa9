package sticky

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// While up clones a big disk there is no supervisor yet, and nobody is dead.
func TestStatusWhileUpClones(t *testing.T) {
	h, _, _ := dead(t, "")
	dir := h.State.Dir("sticky")
	if err := dir.SaveRun(instance.Run{}); err != nil {
		t.Fatal(err)
	}
	lock, err := h.State.Lock(t.Context(), "sticky", 0)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := h.Status("sticky"); err != nil || s.State != instance.PhaseStarting {
		t.Errorf("%+v, %v", s, err)
	}
	lock.Close()
	if s, err := h.Status("sticky"); err != nil || s.State != StateDead {
		t.Errorf("%+v, %v", s, err)
	}
}

// recover looks for the dead, and then has to wait for an up which ends in one
// that lives.
func TestOnlyTheDeadAreRecovered(t *testing.T) {
	h, _, _ := dead(t, jsonOK)
	dir := h.State.Dir("sticky")
	self, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	run := instance.Run{Phase: instance.PhaseReady, Supervisor: self}
	if err := dir.SaveRun(run); err != nil {
		t.Fatal(err)
	}
	r, err := h.Down(t.Context(), DownOptions{Name: "sticky", Policy: history.Auto, OnlyDead: true}, progress.Discard)
	if err != nil || r.Decision != Idle {
		t.Errorf("%+v, %v", r, err)
	}
	if i, err := dir.Load(); err != nil || i == nil {
		t.Errorf("it is gone: %v", err)
	}
}

// The second of two commands about one builder waits, and can be told not to.
func TestCommandsWaitForEachOther(t *testing.T) {
	h, _ := newHost(t)
	lock, err := h.State.Lock(t.Context(), "sticky", 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*nameSilence)
	defer cancel()
	if _, err := h.Down(ctx, DownOptions{Name: "sticky"}, progress.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	time.AfterFunc(2*nameSilence, func() { lock.Close() })
	if r, err := h.Down(t.Context(), DownOptions{Name: "sticky"}, progress.Discard); err != nil || r.Decision != Idle {
		t.Errorf("%+v, %v", r, err)
	}
}
