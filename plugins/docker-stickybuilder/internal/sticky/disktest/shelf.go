package disktest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// runShelf runs what a sticky.Shelf owes beyond a sticky.Disk.
func runShelf(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func(keep int) sticky.Shelf)
	}{
		{"lineages, generations and copies are listed", listed},
		{"a marked generation is never cloned again", marked},
		{"without a good generation the next job begins empty", allMarked},
		{"a job on a generation that was marked does not move the head", markedMeanwhile},
		{"the head moves by compare-and-swap", rolledBack},
		{"no rule undoes what was done to the head on purpose", resets},
		{"what is in use is not removed", removed},
		{"a lineage is removed as a whole", lineageRemoved},
		{"garbage is what nothing refers to", garbage},
		{"a clone and a commit are uses of a lineage", used},
		{"bad generations are collected before good ones", badFirst},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, ok := open(t, 3).(sticky.Shelf); !ok {
				t.Skip("the disk is no shelf")
			}
			c.test(t, func(keep int) sticky.Shelf { return open(t, keep).(sticky.Shelf) })
		})
	}
}

// commits makes n generations, each a child of the one before.
func commits(t *testing.T, d sticky.Disk, n int) (ids []string) {
	t.Helper()
	for i := range n {
		j := clone(t, d, Lineage)
		j.write(t, "f", fmt.Sprint(i, strings.Repeat("x", 8000)))
		j.commit(t, d)
		ids = append(ids, j.ID)
	}
	return ids
}

func states(t *testing.T, d sticky.Shelf) string {
	t.Helper()
	records, err := d.Records(t.Context(), Lineage)
	if err != nil {
		t.Fatal(err)
	}
	s := ""
	for _, r := range records {
		switch {
		case r.Bad != nil && r.Head:
			s += "!"
		case r.Bad != nil:
			s += "b"
		case r.Head:
			s += "h"
		default:
			s += "."
		}
	}
	return s
}

func want(t *testing.T, d sticky.Shelf, state string) {
	t.Helper()
	if got := states(t, d); got != state {
		t.Errorf("generations are %q, want %q", got, state)
	}
}

func listed(t *testing.T, open func(int) sticky.Shelf) {
	d := open(3)
	ids := commits(t, d, 2)
	other := disk.Lineage{Key: "a", Platform: "p"}
	clone(t, d, other).commit(t, d)
	j := clone(t, d, Lineage)
	d = open(3)
	if got, err := d.Lineages(t.Context()); err != nil || !slices.Equal(got, []disk.Lineage{other, Lineage}) {
		t.Errorf("lineages %v, %v", got, err)
	}
	records, err := d.Records(t.Context(), Lineage)
	if err != nil || len(records) != 2 || records[0].ID != ids[0] || records[0].Head || !records[1].Head || records[1].Parent != ids[0] || records[1].Builds.OK != 2 {
		t.Errorf("records %+v, %v", records, err)
	}
	copies, err := d.Copies(t.Context())
	if err != nil || len(copies) != 1 || copies[0].ID != j.ID || copies[0].Lineage != Lineage || copies[0].Parent != ids[1] || !copies[0].InUse || copies[0].Created.IsZero() {
		t.Errorf("copies %+v, %v", copies, err)
	}
	for _, id := range []string{ids[0], j.ID} {
		if n, err := d.Measure(t.Context(), Lineage, id); err != nil || n < 8000 {
			t.Errorf("%s has %d bytes, %v", id, n, err)
		}
	}
	// A working copy grows, whoever has measured it before.
	before, err := d.Measure(t.Context(), Lineage, j.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(j.Root, "more"), make([]byte, 50_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Measure(t.Context(), Lineage, j.ID); err != nil || n < before+50_000 {
		t.Errorf("%d bytes, and then %d, %v", before, n, err)
	}
	j.lock.Close()
	if copies, err := d.Copies(t.Context()); err != nil || len(copies) != 1 || copies[0].InUse {
		t.Errorf("copies %+v, %v", copies, err)
	}
	root, lock, err := d.Hold(t.Context(), Lineage, ids[0])
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if b, err := os.ReadFile(filepath.Join(root, "f")); err != nil || b[0] != '0' {
		t.Errorf("held %.9q, %v", b, err)
	}
	for _, id := range []string{newID(), "..", ""} {
		if _, _, err := d.Hold(t.Context(), Lineage, id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("holding %q: %v", id, err)
		}
	}
}

func marked(t *testing.T, open func(int) sticky.Shelf) {
	d := open(5)
	ids := commits(t, d, 4)
	for _, step := range []struct {
		mark  int
		head  int
		state string
	}{{2, 3, "..bh"}, {3, 1, ".hbb"}} {
		head, err := d.Mark(t.Context(), Lineage, ids[step.mark], "a reason")
		if err != nil || head != ids[step.head] {
			t.Errorf("the head is %s, %v", head, err)
		}
		want(t, d, step.state)
	}
	records, err := open(5).Records(t.Context(), Lineage)
	if err != nil || records[3].Bad.Reason != "a reason" || records[3].Bad.Since.IsZero() {
		t.Errorf("%+v, %v", records, err)
	}
	if j := clone(t, d, Lineage); j.Parent != ids[1] {
		t.Errorf("cloned %s", j.Parent)
	}
	if _, err := d.Mark(t.Context(), Lineage, newID(), "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("marking what does not exist: %v", err)
	}
}

func allMarked(t *testing.T, open func(int) sticky.Shelf) {
	d := open(3)
	ids := commits(t, d, 1)
	if head, err := d.Mark(t.Context(), Lineage, ids[0], "x"); err != nil || head != "" {
		t.Errorf("the head is %q, %v", head, err)
	}
	j := clone(t, d, Lineage)
	if j.Warm() || j.read(t) != "" {
		t.Errorf("cloned %+v", j.Working)
	}
	j.commit(t, d)
	want(t, d, "bh")
}

func markedMeanwhile(t *testing.T, open func(int) sticky.Shelf) {
	d := open(5)
	ids := commits(t, d, 2)
	j := clone(t, d, Lineage)
	if _, err := d.Mark(t.Context(), Lineage, ids[1], "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), j.Working, disk.Generation{}, nil); !errors.Is(err, disk.ErrConflict) {
		t.Errorf("committing: %v", err)
	}
	want(t, d, "hb.")
}

func rolledBack(t *testing.T, open func(int) sticky.Shelf) {
	d := open(5)
	ids := commits(t, d, 3)
	if err := d.SetHead(t.Context(), Lineage, ids[1], ids[0]); !errors.Is(err, disk.ErrConflict) {
		t.Errorf("from what is not the head: %v", err)
	}
	if err := d.SetHead(t.Context(), Lineage, ids[2], ids[0]); err != nil {
		t.Error(err)
	}
	want(t, d, "h..")
	if j := clone(t, d, Lineage); j.Parent != ids[0] {
		t.Errorf("cloned %s", j.Parent)
	}
	if _, err := d.Mark(t.Context(), Lineage, ids[1], "x"); err != nil {
		t.Fatal(err)
	}
	if err := d.SetHead(t.Context(), Lineage, ids[0], ids[1]); !errors.Is(err, disk.ErrBad) {
		t.Errorf("to a bad one: %v", err)
	}
	if err := d.SetHead(t.Context(), Lineage, ids[0], newID()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("to none: %v", err)
	}
	want(t, d, "hb.")
}

func resets(t *testing.T, open func(int) sticky.Shelf) {
	yes := func(disk.Generation, disk.Generation) bool { return true }
	for name, reset := range map[string]func(d sticky.Shelf, ids []string) error{
		"rollback": func(d sticky.Shelf, ids []string) error { return d.SetHead(t.Context(), Lineage, ids[2], ids[0]) },
		"mark": func(d sticky.Shelf, ids []string) error {
			_, err := d.Mark(t.Context(), Lineage, ids[2], "x")
			return err
		},
	} {
		d := open(9)
		if head(t, d, Lineage) != "" { // of the other name
			if err := d.RemoveLineage(t.Context(), Lineage); err != nil {
				t.Fatal(err)
			}
		}
		ids := commits(t, d, 3)
		before := clone(t, d, Lineage)
		if err := reset(d, ids); err != nil {
			t.Fatal(err)
		}
		now := head(t, d, Lineage)
		if _, err := before.commitBy(t, d, disk.Work{"a": 9}, yes); !errors.Is(err, disk.ErrConflict) || head(t, d, Lineage) != now {
			t.Errorf("%s: a job from before: %v, head %s", name, err, head(t, d, Lineage))
		}
		// Jobs that begin after it contend again.
		one, two := clone(t, d, Lineage), clone(t, d, Lineage)
		one.commit(t, d)
		if _, err := two.commitBy(t, d, nil, yes); err != nil || head(t, d, Lineage) != two.ID {
			t.Errorf("%s: a job from after: %v", name, err)
		}
	}
}

func removed(t *testing.T, open func(int) sticky.Shelf) {
	d := open(5)
	ids := commits(t, d, 3)
	if err := d.Remove(t.Context(), Lineage, ids[2]); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("removing the head: %v", err)
	}
	_, lock, err := d.Hold(t.Context(), Lineage, ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), Lineage, ids[0]); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("removing what is held: %v", err)
	}
	lock.Close()
	if err := d.Remove(t.Context(), Lineage, ids[0]); err != nil {
		t.Error(err)
	}
	if err := d.Remove(t.Context(), Lineage, ids[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removing it again: %v", err)
	}
	want(t, d, ".h")
}

func lineageRemoved(t *testing.T, open func(int) sticky.Shelf) {
	d := open(5)
	ids := commits(t, d, 3)
	other := disk.Lineage{Key: "other", Platform: "p"}
	clone(t, d, other).commit(t, d)
	j := clone(t, d, Lineage)
	if err := d.RemoveLineage(t.Context(), Lineage); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("with a copy in use: %v", err)
	}
	if err := d.Discard(t.Context(), j.Working); err != nil {
		t.Fatal(err)
	}
	_, lock, err := d.Hold(t.Context(), Lineage, ids[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveLineage(t.Context(), Lineage); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("while its head is held: %v", err)
	}
	if h := head(t, d, Lineage); h != ids[2] {
		t.Errorf("the head is %q after that", h)
	}
	lock.Close()
	if err := d.RemoveLineage(t.Context(), Lineage); err != nil {
		t.Error(err)
	}
	if got, err := d.Lineages(t.Context()); err != nil || !slices.Equal(got, []disk.Lineage{other}) {
		t.Errorf("lineages %v, %v", got, err)
	}
	if j := clone(t, d, Lineage); j.Warm() {
		t.Errorf("cloned %+v", j.Working)
	}
}

func garbage(t *testing.T, open func(int) sticky.Shelf) {
	d := open(9)
	ids := commits(t, d, 4)
	if err := d.SetHead(t.Context(), Lineage, ids[3], ids[0]); err != nil {
		t.Fatal(err)
	}
	used, stale := clone(t, d, Lineage), clone(t, d, Lineage)
	stale.lock.Close()
	list := func() (out []string) {
		t.Helper()
		all, err := d.Garbage(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range all {
			out = append(out, g.Kind+" "+g.ID)
			if g.Bytes < 8000 {
				t.Errorf("%+v", g)
			}
		}
		return out
	}
	wanted := []string{"generation " + ids[1], "generation " + ids[2], "copy " + stale.ID}
	if got := list(); !slices.Equal(got, wanted) {
		t.Errorf("garbage %v, want %v", got, wanted)
	}
	all, err := d.Garbage(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	// It comes into use between the two.
	_, lock, err := d.Hold(t.Context(), Lineage, ids[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		if gone, err := d.Collect(t.Context(), g); err != nil || gone != (g.ID != ids[1]) {
			t.Errorf("collecting %+v: %v, %v", g, gone, err)
		}
	}
	lock.Close()
	if got := list(); !slices.Equal(got, wanted[:1]) {
		t.Errorf("left %v", got)
	}
	if gone, err := d.Collect(t.Context(), disk.Garbage{Kind: disk.StaleCopy, ID: used.ID, Lineage: Lineage}); gone || err != nil {
		t.Errorf("collecting what is in use: %v, %v", gone, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Garbage(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func badFirst(t *testing.T, open func(int) sticky.Shelf) {
	d := open(3)
	ids := commits(t, d, 3)
	if _, err := d.Mark(t.Context(), Lineage, ids[2], "x"); err != nil {
		t.Fatal(err)
	}
	want(t, d, ".hb")
	j := clone(t, d, Lineage)
	j.write(t, "g", noise(1))
	if _, err := d.Commit(t.Context(), j.Working, disk.Generation{}, nil); err != nil {
		t.Fatal(err)
	}
	j.lock.Close()
	want(t, d, "..h")
	if h := head(t, d, Lineage); h != j.ID || j.Parent != ids[1] {
		t.Errorf("head %s, parent %s", h, j.Parent)
	}
}

func used(t *testing.T, open func(int) sticky.Shelf) {
	d := open(3)
	last := func(l disk.Lineage) time.Time {
		t.Helper()
		at, err := d.Used(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if at := last(Lineage); !at.IsZero() {
		t.Errorf("what is not there was used at %v", at)
	}
	commits(t, d, 1)
	committed := last(Lineage)
	if age := time.Since(committed); age < 0 || age > time.Minute {
		t.Errorf("committed just now, and used %v ago", age)
	}
	time.Sleep(20 * time.Millisecond)
	j := clone(t, d, Lineage)
	if err := d.Discard(t.Context(), j.Working); err != nil {
		t.Fatal(err)
	}
	if at := last(Lineage); !at.After(committed) {
		t.Errorf("cloned after %v, and used at %v", committed, at)
	}
	other := Lineage
	other.Ref = "other"
	if at := last(other); !at.IsZero() {
		t.Errorf("another lineage was used at %v", at)
	}
}
