package disktest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// runSnapshots runs what a sticky.Disk owes to a job that commits while it goes on.
func runSnapshots(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	for _, c := range []struct {
		name string
		test func(*testing.T, sticky.Disk)
	}{
		{"a second copy is of one moment", moment},
		{"what a job commits on the way stays, and the rest goes on top of it", checkpoints},
		{"a second copy that takes too long is not made", slow},
		{"a second copy is swept once nobody holds it", snapshotSwept},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t, 5)) })
	}
}

func at(most time.Duration, begin func() func()) disk.Pause {
	return disk.Pause{Most: most, Begin: func(ctx context.Context) (func(), error) { return begin(), context.Cause(ctx) }}
}

var still = at(time.Minute, func() func() { return func() {} })

func snapshot(t *testing.T, d sticky.Disk, of *disk.Working, pause disk.Pause) job {
	t.Helper()
	id := newID()
	w, lock, err := d.Snapshot(t.Context(), of, id, pause)
	if err != nil {
		t.Fatalf("copying: %v", err)
	}
	t.Cleanup(func() { lock.Close() })
	if w.ID != id || w.Root == of.Root || w.Parent != of.Parent || w.Lineage != of.Lineage {
		t.Fatalf("copied %+v of %+v", w, of)
	}
	return job{w, lock}
}

// Somebody writes pairs of files, the second one after the first, until he is made to
// stand still; in the copy there is no second one without the first.
func moment(t *testing.T, d sticky.Disk) {
	a := clone(t, d, Lineage)
	var pausing, paused, done atomic.Bool
	last := make(chan int)
	go func() {
		n := 0
		for ; !done.Load(); n++ {
			for pausing.Load() {
				paused.Store(true)
				time.Sleep(time.Millisecond)
			}
			for _, half := range []string{"a", "b"} {
				if os.WriteFile(filepath.Join(a.Root, fmt.Sprint(n%50, half)), []byte(fmt.Sprint(n)), 0o600) != nil {
					break
				}
			}
		}
		last <- n
	}()
	time.Sleep(20 * time.Millisecond)
	b := snapshot(t, d, a.Working, at(time.Minute, func() func() {
		pausing.Store(true)
		for !paused.Load() {
			time.Sleep(time.Millisecond)
		}
		return func() { pausing.Store(false) }
	}))
	if pausing.Load() {
		t.Error("the writer still stands still")
	}
	done.Store(true)
	if <-last == 0 {
		t.Fatal("nothing was written")
	}
	for i := range 50 {
		x, errX := os.ReadFile(filepath.Join(b.Root, fmt.Sprint(i, "a")))
		y, errY := os.ReadFile(filepath.Join(b.Root, fmt.Sprint(i, "b")))
		if string(x) != string(y) || (errX == nil) != (errY == nil) {
			t.Errorf("pair %d: %q, %q, %v, %v", i, x, y, errX, errY)
		}
	}
}

func checkpoints(t *testing.T, d sticky.Disk) {
	first := clone(t, d, Lineage)
	first.write(t, "zero", "0")
	first.commit(t, d)
	a := clone(t, d, Lineage)
	a.write(t, "f", "one")
	b := snapshot(t, d, a.Working, still)
	a.write(t, "g", "two")
	if err := os.WriteFile(filepath.Join(a.Root, "f"), []byte("uno"), 0o600); err != nil { // of the same size
		t.Fatal(err)
	}
	g := b.commit(t, d)
	if g.ID != b.ID || g.Parent != first.ID || head(t, d, Lineage) != b.ID {
		t.Errorf("committed %+v", g)
	}
	if err := d.Continue(t.Context(), a.Working, g); err != nil {
		t.Fatal(err)
	}
	if a.Parent != b.ID || a.Base() != b.ID {
		t.Errorf("goes on as %+v", a.Working)
	}
	if s := clone(t, d, Lineage).read(t); s != "f=one zero=0 " {
		t.Errorf("the checkpoint is %s", s)
	}
	if g := a.commit(t, d); g.Parent != b.ID || head(t, d, Lineage) != a.ID || len(g.Chain) < 2 {
		t.Errorf("committed %+v", g)
	}
	if s := clone(t, d, Lineage).read(t); s != "f=uno g=two zero=0 " {
		t.Errorf("the job is %s", s)
	}
}

func slow(t *testing.T, d sticky.Disk) {
	a := clone(t, d, Lineage)
	a.write(t, "f", "one")
	resumed := false
	_, _, err := d.Snapshot(t.Context(), a.Working, newID(), disk.Pause{Most: time.Millisecond, Begin: func(ctx context.Context) (func(), error) {
		<-ctx.Done()
		return func() { resumed = true }, context.Cause(ctx)
	}})
	if !errors.Is(err, context.DeadlineExceeded) || !resumed {
		t.Errorf("%v, resumed: %v", err, resumed)
	}
	if n, err := d.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("%d copies were left, %v", n, err)
	}
	if a.read(t) != "f=one " {
		t.Error(a.read(t))
	}
}

func snapshotSwept(t *testing.T, d sticky.Disk) {
	a := clone(t, d, Lineage)
	a.write(t, "f", "one")
	b := snapshot(t, d, a.Working, still)
	if n, err := d.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("swept %d that somebody holds, %v", n, err)
	}
	b.lock.Close()
	if n, err := d.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if a.read(t) != "f=one " {
		t.Error(a.read(t))
	}
}
