package repack

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// examples is how many paths a warning names.
const examples = 3

// doubts collects where the source's layers can be read in more than one way. Only
// a few paths of each shape are kept.
type doubts struct {
	count [layer.Shapes]int
	paths [layer.Shapes][]string
	// lowest is the lowest layer that has the shape.
	lowest [layer.Shapes]int
}

func (d *doubts) add(a layer.Ambiguity) {
	if d.count[a.Shape] == 0 || a.Layer < d.lowest[a.Shape] {
		d.lowest[a.Shape] = a.Layer
	}
	d.count[a.Shape]++
	if len(d.paths[a.Shape]) < examples {
		d.paths[a.Shape] = append(d.paths[a.Shape], a.Path)
	}
}

// others tells what engines make of each shape, and then what the result is.
var others = [layer.Shapes]string{
	layer.OpaqueRoot:     "engines on overlay mounts show the lower layers all the same; the result hides them",
	layer.Recreated:      "engines show the removed directory's files again, or refuse the layer; the result has the new ones alone",
	layer.Repeated:       "some engines refuse such a layer; the result has the last entry",
	layer.BareParent:     "some engines make these 0755 and root's; the result keeps the lower layer's attributes",
	layer.BelowFile:      "some engines refuse such a layer; the result has the directories, with entries of their own",
	layer.BelowSymlink:   "engines put a directory in the symlink's place; in the result the entries are where the symlink leads",
	layer.LinkBelow:      "engines refuse such a layer; the result has the links",
	layer.LinkAttributes: "engines give the file what the link's header says; the result has the file's own attributes and capabilities",
	layer.RootAttributes: "some engines do not apply them; the result has them",
}

// warnings has one line for each shape that was found. The lowest layers, as many
// as base says, stay as they are, and what engines make of them stays too, but for
// directories, which the top layer of the result lists.
func (d *doubts) warnings(base int) (out []string) {
	for s, n := range d.count {
		if n == 0 {
			continue
		}
		var paths []string
		for _, p := range d.paths[s] {
			if p != "." {
				paths = append(paths, quote(p))
			}
		}
		where := ""
		if len(paths) > 0 {
			more := ""
			if n > len(paths) {
				more = ", …"
			}
			where = fmt.Sprintf(" (%d: %s%s)", n, strings.Join(paths, ", "), more)
		}
		w := fmt.Sprintf("the layers have %s%s: %s", layer.Shape(s), where, others[s])
		if d.lowest[s] < base && layer.Shape(s) != layer.BareParent {
			w += ", but for the layers of the base, which are kept as they are"
		}
		out = append(out, w)
	}
	return out
}

// quote makes a path safe and short enough to be shown.
func quote(p string) string {
	const most = 100
	if len(p) > most {
		p = "…" + p[len(p)-most:]
	}
	return strconv.QuoteToGraphic(p)
}
