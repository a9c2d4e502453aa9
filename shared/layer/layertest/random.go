package layertest

import (
	"archive/tar"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// Shape says which freedoms random layers take. The zero value keeps to what all
// engines read alike.
type Shape struct {
	Implied    bool // parents may lack an entry of their own
	CrossLinks bool // hard links may point to lower layers
	RootOpaque bool // an opaque marker may stand in the root
	Duplicates bool // a path may have two entries in a layer
	Spelling   bool // names may begin with "./" or "/"
	// Capabilities lets files have file capabilities, which only root can set.
	Capabilities bool
}

// Random returns a stack of layers, bottom first, in a name space so small that
// they collide all the time.
func Random(t testing.TB, rng *rand.Rand, layers int, shape Shape) [][]byte {
	g := generator{rng: rng, shape: shape, links: map[string]bool{}, all: map[string]byte{}}
	out := make([][]byte, layers)
	for i := range out {
		out[i] = Tar(t, g.layer()...)
	}
	return out
}

type generator struct {
	rng   *rand.Rand
	shape Shape
	links map[string]bool // paths that were a symlink in any layer so far
	all   map[string]byte // what the merged tree roughly has, for links across layers

	own     map[string]byte // kinds of this layer's entries; 'i' for an implied parent
	hidden  map[string]bool
	entries []Entry
}

var names = []string{"a", "b", "c", "a-b", "a.wh.b", strings.Repeat("long", 31), "é"}

func (g *generator) chance(percent int) bool { return g.rng.IntN(100) < percent }

func (g *generator) path() string {
	parts := make([]string, 1+g.rng.IntN(3))
	for i := range parts {
		parts[i] = names[min(g.rng.IntN(len(names)), g.rng.IntN(len(names)))]
	}
	return strings.Join(parts, "/")
}

func (g *generator) layer() []Entry {
	g.own, g.hidden, g.entries = map[string]byte{}, map[string]bool{}, nil
	for range 1 + g.rng.IntN(14) {
		p := g.path()
		switch n := g.rng.IntN(20); {
		case n < 3:
			g.whiteout(p)
		case n == 3:
			g.opaque(p)
		case n < 8:
			g.add(p, 'd', Dir(p))
		case n < 10:
			if g.add(p, 'l', Symlink(p, []string{"a", "../b", "/c", "nowhere/x"}[g.rng.IntN(4)])) {
				g.links[p] = true
			}
		case n == 10:
			g.add(p, 'p', Entry{Header: tar.Header{Name: p, Typeflag: tar.TypeFifo}})
		case n == 11:
			g.add(p, 'c', Entry{Header: tar.Header{Name: p, Typeflag: tar.TypeChar, Devmajor: 1, Devminor: int64(3 + g.rng.IntN(5))}})
		case n < 15:
			g.link(p)
		default:
			g.add(p, 'f', File(p, strings.Repeat("content", g.rng.IntN(4))+[]string{"", "1", "2"}[g.rng.IntN(3)]))
		}
	}
	for p, k := range g.own {
		for q := range g.all {
			if q == p || (k != 'd' && k != 'i' && strings.HasPrefix(q, p+"/")) {
				delete(g.all, q)
			}
		}
	}
	for p, k := range g.own {
		if k != 'd' && k != 'i' {
			g.all[p] = k
		}
	}
	return g.entries
}

// parents makes sure that p's parents are directories of this layer; false where
// the layer has something else there.
func (g *generator) parents(p string) bool {
	dir := path.Dir(p)
	if dir == "." {
		return true
	}
	switch g.own[dir] {
	case 'd', 'i':
		return true
	case 0:
	default:
		return false
	}
	if !g.parents(dir) {
		return false
	}
	// What an implied parent means on top of a lower symlink is not agreed on.
	if g.shape.Implied && !g.links[dir] && g.chance(40) {
		g.own[dir] = 'i'
		return true
	}
	g.emit(dir, 'd', Dir(dir))
	return true
}

func (g *generator) add(p string, kind byte, e Entry) bool {
	old := g.own[p]
	if old == 'i' && kind != 'd' {
		return false
	}
	if old != 0 && old != 'i' && (!g.shape.Duplicates || old != kind || kind == 'l') {
		return false
	}
	if !g.parents(p) {
		return false
	}
	g.emit(p, kind, e)
	return true
}

func (g *generator) emit(p string, kind byte, e Entry) {
	g.own[p] = kind
	h := &e.Header
	if h.Typeflag != tar.TypeLink {
		h.Mode = int64([]int{0o600, 0o755, 0o1777, 0o4711, 0o2750}[g.rng.IntN(5)])
		h.Uid, h.Gid = []int{0, 1000, 3_000_000}[g.rng.IntN(3)], []int{0, 50}[g.rng.IntN(2)]
		h.ModTime = time.Unix(1_600_000_000+int64(g.rng.IntN(1000)), int64(g.rng.IntN(3))*123_456_789)
		if kind == 'f' || kind == 'd' {
			g.attributes(h, kind)
		}
	}
	if g.shape.Spelling {
		h.Name = []string{"", "./", "/", ".//"}[g.rng.IntN(4)] + h.Name
		if kind == 'd' && g.chance(50) {
			h.Name += "/"
		}
	}
	g.entries = append(g.entries, e)
}

func (g *generator) attributes(h *tar.Header, kind byte) {
	if g.chance(20) {
		h.PAXRecords = map[string]string{"SCHILY.xattr.user.one": fmt.Sprint(g.rng.IntN(3)), "SCHILY.xattr.user.two": "\x00\xff\n=x"}
	}
	if kind == 'f' && g.shape.Capabilities && g.chance(20) {
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": capability}
	}
}

func (g *generator) link(p string) {
	var targets []string
	for _, e := range g.entries {
		name := path.Clean(strings.TrimLeft(e.Name, "./"))
		if k := g.own[name]; k == 'f' || k == 'p' || k == 'l' {
			targets = append(targets, name)
		}
	}
	if g.shape.CrossLinks {
		for target, k := range g.all {
			if g.own[target] == 0 && k == 'f' && !g.below(target) {
				targets = append(targets, target)
			}
		}
	}
	if len(targets) == 0 {
		return
	}
	slices.Sort(targets)
	target := targets[g.rng.IntN(len(targets))]
	if p == target || g.own[p] != 0 || strings.HasPrefix(p, target+"/") {
		return
	}
	kind := g.own[target]
	if kind == 0 {
		kind = 'f'
	}
	if g.add(p, kind, Link(p, target)) && kind == 'l' {
		g.links[p] = true
	}
}

// below reports that something of this layer, or a whiteout of any, stands in the
// way of a lower path.
func (g *generator) below(p string) bool {
	for ; p != "."; p = path.Dir(p) {
		if g.links[p] || g.hidden[p] || g.own[p] != 0 {
			return true
		}
	}
	return false
}

func (g *generator) whiteout(p string) {
	if g.own[p] != 0 && !g.chance(50) || g.hidden[p] || !g.parents(p) {
		return
	}
	g.hidden[p] = true
	g.marker(path.Join(path.Dir(p), ".wh."+path.Base(p)))
	for q := range g.all {
		if q == p || strings.HasPrefix(q, p+"/") {
			delete(g.all, q)
		}
	}
}

func (g *generator) opaque(p string) {
	if g.shape.RootOpaque && g.chance(20) {
		g.marker(".wh..wh..opq")
		clear(g.all)
		return
	}
	if !g.parents(p + "/x") {
		return
	}
	g.marker(p + "/.wh..wh..opq")
	for q := range g.all {
		if strings.HasPrefix(q, p+"/") {
			delete(g.all, q)
		}
	}
}

func (g *generator) marker(name string) {
	g.entries = append(g.entries, Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeReg}})
}
