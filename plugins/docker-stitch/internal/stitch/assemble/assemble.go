// Package assemble puts fragments into a template.
//
// A template marks with comments where fragments go, so it is a valid Dockerfile
// itself:
//
//	#--MODULE:core--#     takes the fragment core
//	#--ENDMODULE--#
//	#--MODULES--#         takes, in order, every fragment without a marker of its own
//	#--ENDMODULE--#
//
// Assembly is one pass: what looks like a marker in a fragment stays a comment.
package assemble

import (
	"errors"
	"fmt"
	"sort"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/fragment"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

var errMarker = errors.New("malformed marker")

// CheckNames reports slots without a fragment and fragments without a slot.
func (t Template) CheckNames(m manifest.Manifest, errs *fault.List) {
	taken := map[string]bool{}
	rest := false
	for _, s := range t.slots {
		taken[s.name] = true
		rest = rest || s.name == ""
	}
	var names []string
	for _, f := range m.Fragments {
		name := f.Name.Value
		names = append(names, name)
		if !taken[name] && !rest {
			err := fault.At(f.Name.At, fmt.Errorf("template %s has no marker for fragment %q", t.display, name))
			errs.Add(fault.Hint(err, "add to the template: #--MODULE:%s--# and, on the next line, #--ENDMODULE--#", name))
		}
		if taken[name] && f.Order != nil {
			errs.Addf(f.OrderAt, "order of fragment %q has no effect: the template says where it goes", name)
		}
		delete(taken, name)
	}
	for _, s := range t.slots {
		if s.name != "" && taken[s.name] {
			err := fmt.Errorf("the manifest has no fragment for marker %q", s.name)
			if near := fault.Nearest(s.name, names); near != "" {
				err = fmt.Errorf("%w; did you mean %q?", err, near)
			}
			errs.Add(fault.At(t.at(s.open), err))
		}
	}
}

// place decides which fragments go into which slot: the result has, for each slot
// of the template in turn, its fragments in order. Two fragments that the order
// does not tell apart are a mistake.
func (t Template) place(fragments []fragment.Fragment, errs *fault.List) [][]fragment.Fragment {
	placed := make([][]fragment.Fragment, len(t.slots))
	rest := -1
	bySlot := map[string]int{}
	for n, s := range t.slots {
		bySlot[s.name] = n
		if s.name == "" {
			rest = n
		}
	}
	for _, f := range fragments {
		n, ok := bySlot[f.Use.Name.Value]
		if !ok {
			n = rest
		}
		if n >= 0 {
			placed[n] = append(placed[n], f)
		}
	}
	if rest >= 0 {
		sortFragments(placed[rest], errs)
	}
	return placed
}

func sortFragments(list []fragment.Fragment, errs *fault.List) {
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.Order() != b.Order() {
			return a.Order() < b.Order()
		}
		return a.Use.Name.Value < b.Use.Name.Value
	})
	for n := 1; n < len(list); n++ {
		a, b := list[n-1], list[n]
		if a.Order() != b.Order() {
			continue
		}
		err := fmt.Errorf("fragments %q and %q both have order %d", a.Use.Name.Value, b.Use.Name.Value, b.Order())
		errs.Add(fault.Hint(fault.At(b.Use.Name.At, err), "give one of them an order of its own in the manifest, or a marker in the template"))
	}
}

// Assemble returns the template with its fragments in place, and the fragments in
// the order in which they stand there. The first head lines are the template's
// parser directives, before which nothing may be put.
func (t Template) Assemble(fragments []fragment.Fragment, errs *fault.List) (lines []sourcemap.Line, used []fragment.Fragment, head int) {
	placed := t.place(fragments, errs)
	next := 0
	for n := 1; n <= len(t.lines); n++ {
		if next == len(t.slots) || n != t.slots[next].open {
			lines = append(lines, t.lines[n-1])
			continue
		}
		for _, f := range placed[next] {
			used = append(used, f)
			lines = append(lines, comment(fmt.Sprintf("# fragment %s %s, %s", f.Metadata.Name, f.Use.Version.Value, f.File())))
			lines = append(lines, f.Lines...)
		}
		n = t.slots[next].close
		next++
	}
	return lines, used, t.directives
}

func comment(text string) sourcemap.Line {
	return sourcemap.Line{Text: text, Kind: sourcemap.Generated}
}
