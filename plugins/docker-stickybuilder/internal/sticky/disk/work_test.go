package disk

import (
	"fmt"
	"testing"
	"time"
)

func TestCompare(t *testing.T) {
	// grow makes a child of parent, nil for the first.
	grow := func(id string, parent *Generation, w Work) *Generation {
		c := &Working{ID: id}
		c.From(parent)
		g := c.Describe(Generation{Work: w}, time.Time{})
		return &g
	}
	old := &Generation{ID: "old", Parent: "older"} // of a version that wrote no chain
	p := grow("p", grow("pp", nil, Work{"x": 1000, "app": 950}), Work{"app": 500})
	long := p
	for i := range 2 * maxChain {
		long = grow(fmt.Sprint("l", i), long, Work{"docs": 20})
	}
	for name, c := range map[string]struct {
		mine, head *Generation
		want       Comparison
		ok         bool
	}{
		"siblings":                      {grow("m", p, Work{"app": 900}), grow("h", p, Work{"web": 18}), Comparison{"p", 400, 18}, true},
		"only the usual work":           {grow("m", p, Work{"app": 480}), grow("h", p, Work{"web": 18}), Comparison{"p", 0, 18}, true},
		"the usual is the median":       {grow("m", grow("m1", p, Work{"app": 9}), Work{"app": 900}), grow("h", p, nil), Comparison{"p", 891, 0}, true},
		"what both have does not count": {grow("m", p, Work{"app": 1}), grow("h", grow("h1", p, Work{"web": 18}), Work{"docs": 5}), Comparison{"p", 0, 23}, true},
		"again and again is once":       {grow("m", p, Work{"db": 30}), grow("h", grow("h1", p, Work{"web": 18}), Work{"web": 20}), Comparison{"p", 30, 20}, true},
		"both from nothing":             {grow("m", nil, Work{"app": 3}), grow("h", grow("h1", nil, Work{"web": 1}), nil), Comparison{"", 3, 1}, true},
		"the head went back":            {grow("m", grow("m1", p, nil), Work{"app": 3}), p, Comparison{"p", 0, 0}, false},
		"a descendant already":          {p, grow("h", p, Work{"app": 3}), Comparison{"p", 0, 0}, false},
		"nothing in common":             {grow("m", p, nil), grow("h", old, nil), Comparison{}, false},
		"children of an old version's":  {grow("m", old, Work{"a": 1}), grow("h", old, Work{"a": 2}), Comparison{"old", 1, 2}, true},
		"old version's siblings":        {&Generation{ID: "m", Parent: "p", Work: Work{"a": 2}}, &Generation{ID: "h", Parent: "p"}, Comparison{"p", 2, 0}, true},
		"too long ago":                  {grow("m", p, Work{"app": 9}), long, Comparison{}, false},
	} {
		if got, ok := Compare(*c.mine, *c.head); got != c.want || ok != c.ok {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, ok, c.want, c.ok)
		}
	}
	if len(long.Chain) != maxChain {
		t.Errorf("%d ancestors are kept", len(long.Chain))
	}
}

func TestWorkIsBounded(t *testing.T) {
	w := Work{}
	for i := range 100 {
		w[fmt.Sprint(i)] = float64(i)
	}
	b := w.Bounded()
	if len(b) != maxNames || b.Seconds() != w.Seconds() || b["99"] != 99 || b["1"] != 0 || len(b.Bounded()) != maxNames {
		t.Errorf("%v", b)
	}
	if few := (Work{"a": 1}); few.Bounded()["a"] != 1 || Work(nil).Bounded() != nil {
		t.Error("what is small is left alone")
	}
}

func TestLineage(t *testing.T) {
	l := Lineage{Key: "acme/app", Platform: "linux/amd64", Ref: "main"}
	if l.String() != "acme/app@main (linux/amd64)" || (Lineage{Key: "k", Platform: "p"}).Name() != "k" {
		t.Error(l)
	}
	seen := map[string]bool{}
	for _, l := range []Lineage{{"k", "p", ""}, {"k", "p", "r"}, {"k", "p", "R"}, {"k", "r", "p"}, {"k@r", "p", ""}} {
		if seen[l.Identity()] {
			t.Errorf("%v is taken for another", l)
		}
		seen[l.Identity()] = true
	}
	if CheckRef("") != nil || CheckRef("feature/x") != nil || CheckRef(" ") == nil || CheckRef("a\nb") == nil {
		t.Error("refs")
	}
}
