package sticky

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

func TestFallbacks(t *testing.T) {
	own := disk.Lineage{Key: "acme/app", Platform: "linux/amd64", Ref: "fix"}
	for name, c := range map[string]struct {
		named, bases []string
		want         string
	}{
		"default":           {nil, []string{"next", "main"}, "acme/app@fix| acme/app@next acme/app@next| acme/app@main acme/app@main| acme/app|"},
		"no base known":     {nil, nil, "acme/app@fix| acme/app|"},
		"on the base":       {nil, []string{"fix", ""}, "acme/app@fix| acme/app|"},
		"none":              {[]string{""}, []string{"main"}, ""},
		"a key":             {[]string{"acme/base"}, []string{"main"}, "acme/app@fix| acme/base@fix acme/base@fix| acme/base@main acme/base@main| acme/base|"},
		"a ref":             {[]string{"@dev"}, []string{"main"}, "acme/app@fix| acme/app@dev acme/app@dev|"},
		"in order":          {[]string{"@dev", "@main"}, nil, "acme/app@fix| acme/app@dev acme/app@dev| acme/app@main acme/app@main|"},
		"a key and a ref":   {[]string{"acme/base@dev"}, nil, "acme/app@fix| acme/base@dev acme/base@dev|"},
		"a ref that has an": {[]string{"@npm/@types"}, nil, "acme/app@fix| acme/app@npm/@types acme/app@npm/@types|"},
	} {
		var got []string
		for _, l := range Fallbacks(own, c.named, c.bases) {
			if l.Platform != own.Platform || l == own {
				t.Errorf("%s: %v", name, l)
			}
			s := l.Name()
			if l.Ref == "" {
				s += "|"
			}
			got = append(got, s)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", name, strings.Join(got, " "), c.want)
		}
	}
	// Without a ref, as before there were any, nothing comes before the bases.
	own.Ref = ""
	if got := Fallbacks(own, nil, []string{"main"}); len(got) != 2 || got[0].Ref != "main" || got[1].Key != "acme/app@main" {
		t.Errorf("%v", got)
	}
}

// give commits a generation with one file to a lineage.
func give(t *testing.T, d Disk, h Host, l disk.Lineage, file string, work disk.Work) string {
	t.Helper()
	id, err := h.newID()
	if err != nil {
		t.Fatal(err)
	}
	w, lock, err := d.Clone(t.Context(), l, l, id, progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := os.WriteFile(filepath.Join(w.Root, file), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), w, disk.Generation{Work: work}, nil); err != nil {
		t.Fatal(err)
	}
	return id
}

// plainPool makes a pool that is no filesystem of its own, which costs a mount.
func plainPool(t *testing.T, spec string) {
	t.Helper()
	p, err := dirpool.Open(strings.TrimPrefix(spec, "dir:"), dirpool.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSource(t *testing.T) {
	h, _ := newHost(t)
	dir := filepath.Join(t.TempDir(), "pool")
	plainPool(t, "dir:"+dir)
	d, err := h.openDisk("dir:"+dir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	lineage := func(ref string) disk.Lineage { return disk.Lineage{Key: "app", Platform: "p", Ref: ref} }
	own, broken, main := lineage("fix"), lineage("broken"), lineage("main")
	find := func() (disk.Lineage, []string) {
		t.Helper()
		l, notes, err := source(t.Context(), d, own, []disk.Lineage{lineage("none"), broken, main}, progress.Discard.Step(""))
		if err != nil {
			t.Fatal(err)
		}
		return l, notes
	}
	if l, notes := find(); l != own || notes != nil {
		t.Errorf("in an empty pool %v, %v", l, notes)
	}
	give(t, d, h, main, "m", nil)
	give(t, d, h, broken, "b", nil)
	heads, err := filepath.Glob(filepath.Join(dir, "lineages/app-broken-*/head.json"))
	if err != nil || len(heads) != 1 {
		t.Fatalf("%v, %v", heads, err)
	}
	if err := os.WriteFile(heads[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, notes := find(); l != main || len(notes) != 1 || !strings.Contains(notes[0], "app@broken") {
		t.Errorf("%v, %v", l, notes)
	}
	// One whose only generation is bad has no head.
	id := give(t, d, h, own, "o", nil)
	if l, _ := find(); l != own {
		t.Errorf("%v", l)
	}
	shelf, err := h.OpenShelf("dir:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	defer shelf.Close()
	if _, err := shelf.Mark(t.Context(), own, id, "x"); err != nil {
		t.Fatal(err)
	}
	if l, _ := find(); l != main {
		t.Errorf("%v", l)
	}
	// The own disk is not passed over for being damaged, and that does not go unseen.
	if l, notes, err := source(t.Context(), d, broken, []disk.Lineage{main}, progress.Discard.Step("")); err != nil || l != broken || len(notes) != 1 || !strings.Contains(notes[0], "damaged") {
		t.Errorf("a damaged head of its own: %v, %v, %v", l, notes, err)
	}
}

// A pool of the time before refs serves on: what was KEY@REF is what a branch
// begins with.
func TestPoolsWithoutRefs(t *testing.T) {
	h, _ := newHost(t)
	spec := "dir:" + filepath.Join(t.TempDir(), "pool")
	plainPool(t, spec)
	d, err := h.openDisk(spec, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	old := disk.Lineage{Key: "acme/app@main", Platform: "p"}
	id := give(t, d, h, old, "f", nil)
	own := disk.Lineage{Key: "acme/app", Platform: "p", Ref: "main"}
	from, _, err := source(t.Context(), d, own, Fallbacks(own, nil, nil), progress.Discard.Step(""))
	if err != nil || from != old {
		t.Fatalf("%v, %v", from, err)
	}
	next, err := h.newID()
	if err != nil {
		t.Fatal(err)
	}
	w, lock, err := d.Clone(t.Context(), own, from, next, progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if g, err := d.Commit(t.Context(), w, disk.Generation{}, nil); err != nil || g.Parent != id || g.Lineage != own || g.Origin != old {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestChoice(t *testing.T) {
	all := []disk.Lineage{{Key: "a@main", Platform: "p"}, {Key: "b", Platform: "p"}, {Key: "c", Platform: "p", Ref: "dev"}, {Key: "c", Platform: "p", Ref: "main"}, {Key: "c", Platform: "q", Ref: "main"}, {Key: "d", Platform: "p", Ref: "main"}}
	ref := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		o    Choice
		want disk.Lineage
		says string
	}{
		"the only one":            {Choice{Key: "b"}, all[1], ""},
		"the only ref":            {Choice{Key: "d"}, all[5], ""},
		"as tables show it":       {Choice{Key: "c@dev"}, all[2], ""},
		"a key that has an @":     {Choice{Key: "a@main"}, all[0], ""},
		"by ref":                  {Choice{Key: "c", Ref: ref("dev")}, all[2], ""},
		"by ref and platform":     {Choice{Key: "c", Ref: ref("main"), Platform: "q"}, all[4], ""},
		"several refs":            {Choice{Key: "c"}, disk.Lineage{}, "several refs"},
		"several platforms":       {Choice{Key: "c", Ref: ref("main")}, disk.Lineage{}, "several platforms"},
		"no such ref":             {Choice{Key: "c", Ref: ref("x")}, disk.Lineage{}, `nothing for ref "x" under key c`},
		"no such ref in the name": {Choice{Key: "c@x"}, disk.Lineage{}, `nothing for ref "x" under key c`},
		"no such key":             {Choice{Key: "e@x"}, disk.Lineage{}, "no key e@x"},
		"the default":             {Choice{DefaultKey: "c", DefaultRef: "dev"}, all[2], ""},
		"the default's only ref":  {Choice{DefaultKey: "d", DefaultRef: "other"}, all[5], ""},
		"the default of before":   {Choice{DefaultKey: "a", DefaultRef: "main"}, all[0], ""},
	} {
		got, err := c.o.lineage(all)
		if c.says == "" && (err != nil || got != c.want) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got := texts(all, func(l disk.Lineage) string { return l.Key }); !slices.Equal(got, []string{"a@main", "b", "c", "d"}) {
		t.Errorf("%v", got)
	}
}

func TestAlreadyUpWithAnotherRef(t *testing.T) {
	h, i, _ := dead(t, jsonOK)
	other := "other"
	_, err := h.already(UpOptions{Name: "sticky", Ref: &other}, i, instance.Run{})
	if err == nil || !strings.Contains(err.Error(), `with ref ""`) {
		t.Errorf("%v", err)
	}
}

// Two jobs on one machine that both say "up": either one's down would end the builder under
// the other. What the same job brings up twice, or a job that nobody knows, is one builder.
func TestEachJobHasItsOwnBuilder(t *testing.T) {
	h, store := newHost(t)
	mine, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := process.Identify(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of, asked process.ID
		ok        bool
	}{{theirs, mine, false}, {mine, mine, true}, {process.ID{}, mine, true}, {theirs, process.ID{}, true}} {
		i := &instance.Instance{Name: "sticky", Job: c.of, JobName: "Runner.Worker"}
		_, err := h.already(UpOptions{Name: "sticky", Job: c.asked, Store: store}, i, instance.Run{})
		if c.ok != (err == nil) || (err != nil && (!strings.Contains(err.Error(), "another job that it is there for (Runner.Worker, process ") || !strings.Contains(fault.HintOf(err), "up NAME"))) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Nobody asked for read-only, but what is built may be anybody's: it must not get at
// the disk of a job that left its builder behind.
func TestAForkDoesNotGetAnotherJobsBuilder(t *testing.T) {
	h, store := newHost(t)
	of := func(ref string) disk.Lineage { return disk.Lineage{Key: "acme/app", Ref: ref, Platform: "linux/amd64"} }
	fork := UpOptions{
		Name: "sticky", Platform: "linux/amd64", DefaultKey: "acme/app", DefaultRef: "pull/7", Store: store,
		ReadOnly: true, Because: "pull request 7 comes from the fork eve/app",
	}
	for _, c := range []struct {
		of       string
		readOnly bool
		ok       bool
	}{{"main", false, false}, {"main", true, true}, {"pull/7", false, true}} {
		i := &instance.Instance{Name: "sticky", Working: disk.Working{Lineage: of(c.of)}, ReadOnly: c.readOnly}
		u, err := h.already(fork, i, instance.Run{})
		if c.ok != (err == nil) || (err != nil && !strings.Contains(err.Error(), "eve/app")) || (u != nil && u.Ref != c.of) {
			t.Errorf("%+v: %+v, %v", c, u, err)
		}
	}
}

// A copy is the last resort, and never silent: neither when it is made nor when the next job
// will have to.
func TestCopiesAreSaidAloud(t *testing.T) {
	for _, c := range []struct {
		clone disk.Clone
		says  string
	}{
		{disk.Clone{Method: "copy", Bytes: 2e6, Entries: 3, Why: "no mkfs.btrfs"}, "the disk was copied, 2.0 MB in 3 files and directories, since its pool cannot be cloned without: no mkfs.btrfs"},
		{disk.Clone{Method: "empty", Why: "no mkfs.btrfs"}, "the next job on this disk will copy it, since its pool cannot be cloned without: no mkfs.btrfs"},
		{disk.Clone{Method: "reflink", Entries: 3}, ""},
		{disk.Clone{Method: "snapshot"}, ""},
		{disk.Clone{Method: "volume"}, ""},
	} {
		if got := strings.Join(copied(&instance.Instance{Working: disk.Working{Clone: c.clone}}), "\n"); got != c.says {
			t.Errorf("%+v: %q", c.clone, got)
		}
	}
	// What a real pool says of itself.
	g := newChain(t, 1)
	if err := g.climb(t, func(disk.Working) error { return nil }); err != nil {
		t.Fatal(err)
	}
	w := g.inst.Working.Clone
	if said := len(copied(g.inst)) > 0; said != (w.Method == "copy") || said != (w.Why != "") {
		t.Errorf("%+v: %v", w, copied(g.inst))
	}
}
