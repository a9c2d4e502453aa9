package disktest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// branch is a lineage of the suite's key.
var branch = disk.Lineage{Key: Lineage.Key, Platform: Lineage.Platform, Ref: "feature/x"}

// runLineages runs what is about several lineages, and several jobs of one.
func runLineages(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func(*testing.T, int) sticky.Disk)
	}{
		{"a copy of another lineage's head begins its own", fallback},
		{"a rule decides between two jobs", ruled},
		{"a job that ends late is not collected for having begun early", lateComer},
		{"of many racing jobs with rules the richest is the head", richest},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

func (j job) commitBy(t *testing.T, d sticky.Disk, work disk.Work, rule disk.Rule) (disk.Generation, error) {
	t.Helper()
	g, err := d.Commit(t.Context(), j.Working, disk.Generation{Work: work}, rule)
	if err == nil || errors.Is(err, disk.ErrConflict) {
		j.lock.Close()
	}
	return g, err
}

func fallback(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 3)
	a := clone(t, d, Lineage)
	a.write(t, "f", "one")
	a.commit(t, d)
	id := newID()
	w, lock, err := d.Clone(t.Context(), branch, Lineage, id, progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	b := job{w, lock}
	if b.Lineage != branch || b.Parent != a.ID || b.Origin != Lineage || b.Base() != "" || b.read(t) != "f=one " || len(b.Chain) != 2 || b.Chain[0].ID != a.ID {
		t.Errorf("cloned %+v: %s", b.Working, b.read(t))
	}
	b.write(t, "g", "two")
	g := b.commit(t, d)
	if g.Lineage != branch || g.Parent != a.ID || g.Origin != Lineage || len(g.Chain) != 2 {
		t.Errorf("committed %+v", g)
	}
	if h := head(t, d, Lineage); h != a.ID {
		t.Errorf("the other lineage's head is %s", h)
	}
	if j := clone(t, d, Lineage); j.read(t) != "f=one " {
		t.Errorf("the other lineage has %s", j.read(t))
	}
	c := clone(t, d, branch)
	if c.Parent != b.ID || c.Origin != (disk.Lineage{}) || c.read(t) != "f=one g=two " || len(c.Chain) != 3 || c.Chain[1].ID != a.ID {
		t.Errorf("cloned %+v: %s", c.Working, c.read(t))
	}
	// Two jobs begin the lineage at once: only one of them makes the head.
	other := disk.Lineage{Key: "k", Platform: "p", Ref: "r"}
	var errs []error
	for range 2 {
		w, lock, err := d.Clone(t.Context(), other, Lineage, newID(), progress.Discard.Step(""))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			_, err := job{w, lock}.commitBy(t, d, nil, nil)
			errs = append(errs, err)
			if len(errs) == 2 && (errs[0] != nil || !errors.Is(errs[1], disk.ErrConflict)) {
				t.Errorf("%v", errs)
			}
		}()
	}
	// From a lineage that has nothing: empty.
	w, lock, err = d.Clone(t.Context(), other, disk.Lineage{Key: "none", Platform: "p"}, newID(), progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	if e := (job{w, lock}); e.Warm() || e.Origin != (disk.Lineage{}) || e.read(t) != "" {
		t.Errorf("cloned %+v", e.Working)
	}
	lock.Close()
}

func ruled(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 5)
	first, second, third := clone(t, d, Lineage), clone(t, d, Lineage), clone(t, d, Lineage)
	asked := func(answer bool) disk.Rule {
		return func(mine, head disk.Generation) bool {
			if mine.ID != second.ID && mine.ID != third.ID || head.Work["a"] == 0 || mine.Work["a"] == 0 || head.ID == mine.ID {
				t.Errorf("asked about %+v and %+v", mine, head)
			}
			return answer
		}
	}
	unasked := func(disk.Generation, disk.Generation) bool {
		t.Error("asked without a conflict")
		return false
	}
	if _, err := first.commitBy(t, d, disk.Work{"a": 1}, unasked); err != nil {
		t.Error(err)
	}
	if _, err := second.commitBy(t, d, disk.Work{"a": 2}, asked(false)); !errors.Is(err, disk.ErrConflict) {
		t.Errorf("the rule says no: %v", err)
	}
	if h := head(t, d, Lineage); h != first.ID {
		t.Errorf("head %s", h)
	}
	if _, err := third.commitBy(t, d, disk.Work{"a": 3}, asked(true)); err != nil {
		t.Errorf("the rule says yes: %v", err)
	}
	if h := head(t, d, Lineage); h != third.ID {
		t.Errorf("head %s", h)
	}
	if s, ok := d.(sticky.Shelf); ok {
		want(t, s, "..h")
	}
}

func lateComer(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d, ok := open(t, 3).(sticky.Shelf)
	if !ok {
		t.Skip("the disk is no shelf")
	}
	late := clone(t, d, Lineage)
	ids := commits(t, d, 3)
	if _, err := late.commitBy(t, d, nil, nil); !errors.Is(err, disk.ErrConflict) {
		t.Fatal(err)
	}
	records, err := d.Records(t.Context(), Lineage)
	if err != nil || len(records) != 3 {
		t.Fatalf("%+v, %v", records, err)
	}
	var left []string
	for _, r := range records {
		left = append(left, r.ID)
	}
	if !slices.Equal(left, []string{late.ID, ids[1], ids[2]}) {
		t.Errorf("left %v of %s and %v", left, late.ID, ids)
	}
}

func richest(t *testing.T, open func(*testing.T, int) sticky.Disk) {
	d := open(t, 20)
	rule := func(mine, head disk.Generation) bool {
		c, ok := disk.Compare(mine, head)
		return ok && c.Mine > c.Head
	}
	const jobs = 8
	var all []job
	for range jobs {
		all = append(all, clone(t, d, Lineage))
	}
	var group sync.WaitGroup
	for i, j := range all {
		group.Go(func() {
			if _, err := j.commitBy(t, d, disk.Work{fmt.Sprint(i): float64(i + 1)}, rule); err != nil && !errors.Is(err, disk.ErrConflict) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if h := head(t, d, Lineage); h != all[jobs-1].ID {
		t.Errorf("head %s, and not the richest %s", h, all[jobs-1].ID)
	}
	if s, ok := d.(sticky.Shelf); ok {
		want(t, s, ".......h")
	}
}
