// Package disktest is the suite that every implementation of sticky.Disk passes.
// Each test states one obligation of the interface.
package disktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Lineage is the one that the suite works on.
var Lineage = disk.Lineage{Key: "github.com/acme/app@main", Platform: "linux/amd64"}

// Run runs the suite. open opens an empty disk that keeps keep generations; what
// is opened is one and the same disk until the test ends.
func Run(t *testing.T, open func(t *testing.T, keep int) sticky.Disk) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func(*testing.T, int) sticky.Disk)
	}{
		{"an empty disk has no head and lends an empty copy", empty},
		{"what is committed is cloned by the next job", chain},
		{"a generation can be cloned while its job still ends", ending},
		{"copies are private", private},
		{"a discarded copy leaves the head as it was", discarded},
		{"the second of two jobs is told of the conflict", conflict},
		{"lineages do not see each other", lineages},
		{"old generations are collected, the head is not", collected},
		{"a copy is swept once nobody holds it", swept},
		{"a dead holder's copy can be taken over", reopened},
		{"a cancelled clone leaves nothing", cancelled},
		{"one of many racing commits wins", race},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
	runLineages(t, open)
	runShelf(t, open)
	runSnapshots(t, open)
}

var ids struct {
	sync.Mutex
	n int
}

func newID() string {
	ids.Lock()
	defer ids.Unlock()
	ids.n++
	return disk.NewID(time.Date(2026, 1, 2, 3, 4, ids.n, 0, time.UTC), []byte(fmt.Sprintf("%06d", ids.n)))
}

type job struct {
	*disk.Working
	lock *durable.Lock
}

func clone(t *testing.T, d sticky.Disk, l disk.Lineage) job {
	t.Helper()
	id := newID()
	w, lock, err := d.Clone(t.Context(), l, l, id, progress.Discard.Step(""))
	if err != nil {
		t.Fatalf("cloning: %v", err)
	}
	t.Cleanup(func() { lock.Close() })
	if w.ID != id || w.Lineage != l {
		t.Fatalf("cloned %+v", w)
	}
	return job{w, lock}
}

func (j job) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(j.Root, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read lists the copy's files with their contents.
func (j job) read(t *testing.T) string {
	t.Helper()
	names, err := os.ReadDir(j.Root)
	if err != nil {
		t.Fatal(err)
	}
	s := ""
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(j.Root, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		s += fmt.Sprintf("%s=%s ", n.Name(), b)
	}
	return s
}

func (j job) commit(t *testing.T, d sticky.Disk) disk.Generation {
	t.Helper()
	g, err := d.Commit(t.Context(), j.Working, disk.Generation{Builder: "x", BuildkitVersion: "v1", CleanShutdown: true, Builds: disk.Tally{OK: 2}}, nil)
	if err != nil {
		t.Fatalf("committing: %v", err)
	}
	j.lock.Close()
	return g
}

// noise is a text that does not compress.
func noise(seed int) string {
	b := make([]byte, 64<<10)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return string(b)
}

func head(t *testing.T, d sticky.Disk, l disk.Lineage) string {
	t.Helper()
	g, err := d.Head(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if g == nil {
		return ""
	}
	return g.ID
}

func empty(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	if h := head(t, d, Lineage); h != "" {
		t.Errorf("head %s", h)
	}
	j := clone(t, d, Lineage)
	if j.Warm() || j.Clone.Method != "empty" || j.read(t) != "" {
		t.Errorf("cloned %+v: %s", j.Working, j.read(t))
	}
}

func chain(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a := clone(t, d, Lineage)
	a.write(t, "f", "one")
	g := a.commit(t, d)
	if g.ID != a.ID || g.Parent != "" || g.Format != disk.Format || g.Lineage != Lineage || g.Created.IsZero() {
		t.Errorf("committed %+v", g)
	}
	b := clone(t, d, Lineage)
	if !b.Warm() || b.Parent != a.ID || b.Clone.Method == "empty" || b.read(t) != "f=one " {
		t.Errorf("cloned %+v: %s", b.Working, b.read(t))
	}
	b.write(t, "g", "two")
	b.commit(t, d)
	// Another process opens the disk anew.
	got, err := open(t, 3).Head(t.Context(), Lineage)
	if err != nil || got == nil || got.ID != b.ID || got.Parent != a.ID || got.Builds.OK != 2 || !got.CleanShutdown || got.BuildkitVersion != "v1" {
		t.Errorf("head %+v, %v", got, err)
	}
	if s := clone(t, d, Lineage).read(t); s != "f=one g=two " {
		t.Errorf("third job got %s", s)
	}
}

// The committing job's processes, and with them their lock, may live on for a while.
func ending(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a := clone(t, d, Lineage)
	a.write(t, "f", "one")
	if _, err := d.Commit(t.Context(), a.Working, disk.Generation{}, nil); err != nil {
		t.Fatal(err)
	}
	if s := clone(t, d, Lineage).read(t); s != "f=one " {
		t.Errorf("cloned %s", s)
	}
	a.lock.Close()
}

func private(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a := clone(t, d, Lineage)
	a.write(t, "f", "one")
	a.commit(t, d)
	b, c := clone(t, d, Lineage), clone(t, d, Lineage)
	b.write(t, "f", "changed")
	if err := os.Remove(filepath.Join(c.Root, "f")); err != nil {
		t.Fatal(err)
	}
	if s := clone(t, d, Lineage).read(t); s != "f=one " {
		t.Errorf("the generation has changed: %s", s)
	}
	if b.read(t) != "f=changed " || c.read(t) != "" {
		t.Errorf("copies: %s, %s", b.read(t), c.read(t))
	}
}

func discarded(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a := clone(t, d, Lineage)
	a.commit(t, d)
	b := clone(t, d, Lineage)
	b.write(t, "f", "bad")
	for range 2 {
		if err := d.Discard(t.Context(), b.Working); err != nil {
			t.Fatalf("discarding: %v", err)
		}
	}
	if _, err := os.Lstat(b.Root); !os.IsNotExist(err) {
		t.Errorf("the copy is still there: %v", err)
	}
	if h := head(t, d, Lineage); h != a.ID {
		t.Errorf("head %s", h)
	}
	if _, err := d.Commit(t.Context(), b.Working, disk.Generation{}, nil); !errors.Is(err, disk.ErrGone) {
		t.Errorf("committing what is gone: %v", err)
	}
}

func conflict(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a, b := clone(t, d, Lineage), clone(t, d, Lineage)
	a.commit(t, d)
	g, err := d.Commit(t.Context(), b.Working, disk.Generation{}, nil)
	if !errors.Is(err, disk.ErrConflict) || g.ID != b.ID {
		t.Errorf("second commit: %+v, %v", g, err)
	}
	if h := head(t, d, Lineage); h != a.ID {
		t.Errorf("head %s", h)
	}
}

func lineages(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a := clone(t, d, Lineage)
	a.commit(t, d)
	for _, l := range []disk.Lineage{
		{Key: Lineage.Key, Platform: "linux/arm64"},
		{Key: "github.com/acme/app main", Platform: Lineage.Platform},
		{Key: "../../..", Platform: Lineage.Platform},
		{Key: "/", Platform: "x"},
		{Key: Lineage.Key, Platform: Lineage.Platform, Ref: "main"},
		{Key: Lineage.Key, Platform: Lineage.Platform, Ref: "Main"},
		{Key: Lineage.Key, Platform: Lineage.Platform, Ref: "../x"},
		{Key: "ключ\n", Platform: ""},
	} {
		if h := head(t, d, l); h != "" {
			t.Errorf("%v has head %s", l, h)
		}
		j := clone(t, d, l)
		if j.Warm() {
			t.Errorf("%v is warm", l)
		}
		j.commit(t, d)
		if h := head(t, d, l); h != j.ID {
			t.Errorf("%v has head %s", l, h)
		}
	}
	if h := head(t, d, Lineage); h != a.ID {
		t.Errorf("head %s", h)
	}
}

func collected(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 2)
	lister, ok := d.(interface {
		Generations(context.Context, disk.Lineage) ([]string, error)
	})
	if !ok {
		t.Skip("the disk does not list its generations")
	}
	var all []string
	for i := range 4 {
		j := clone(t, d, Lineage)
		j.write(t, "f", noise(i)) // a commit of little may leave collecting to the next one
		j.commit(t, d)
		all = append(all, j.ID)
	}
	got, err := lister.Generations(t.Context(), Lineage)
	if err != nil || !slices.Equal(got, all[2:]) {
		t.Errorf("left %v, %v; want %v", got, err, all[2:])
	}
	if h := head(t, d, Lineage); h != all[3] {
		t.Errorf("head %s", h)
	}
}

func swept(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a := clone(t, d, Lineage)
	if n, err := d.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("swept %d that somebody holds, %v", n, err)
	}
	a.write(t, "f", "still here")
	a.lock.Close()
	if n, err := d.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if _, err := os.Lstat(a.Root); !os.IsNotExist(err) {
		t.Errorf("the copy is still there: %v", err)
	}
	if _, err := d.Reopen(t.Context(), a.Working); !errors.Is(err, disk.ErrGone) {
		t.Errorf("reopening it: %v", err)
	}
}

func reopened(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a := clone(t, d, Lineage)
	a.write(t, "f", "one")
	time.AfterFunc(50*time.Millisecond, func() { a.lock.Close() })
	lock, err := open(t, 3).Reopen(t.Context(), a.Working)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if n, err := d.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	job{a.Working, lock}.commit(t, d)
	if s := clone(t, d, Lineage).read(t); s != "f=one " {
		t.Errorf("committed %s", s)
	}
}

func cancelled(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a := clone(t, d, Lineage)
	a.write(t, "f", "one")
	a.commit(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w, lock, err := d.Clone(ctx, Lineage, Lineage, newID(), progress.Discard.Step(""))
	if err == nil {
		// A backend may be done before it notices; then the copy is as good as any.
		lock.Close()
		if err := d.Discard(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if n, err := d.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("%d copies were left, %v", n, err)
	}
}

func race(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 20)
	const jobs = 6
	errs := make([]error, jobs)
	var all []job
	for range jobs {
		all = append(all, clone(t, d, Lineage))
	}
	var group sync.WaitGroup
	for i, j := range all {
		group.Go(func() { _, errs[i] = d.Commit(t.Context(), j.Working, disk.Generation{}, nil) })
	}
	group.Wait()
	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won++
			if h := head(t, d, Lineage); h != all[i].ID {
				t.Errorf("%s won, the head is %s", all[i].ID, h)
			}
		case !errors.Is(err, disk.ErrConflict):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}
