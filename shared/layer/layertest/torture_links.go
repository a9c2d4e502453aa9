package layertest

import (
	"archive/tar"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// capability is cap_net_raw+ep as the kernel's vfs_cap_data, revision 2.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func linkCases(t testing.TB) []Case {
	const (
		rule    = "layer.md, Hardlinks: names with one inode; it lives as long as one of them"
		header  = "002: attributes on a hard link's header do not count"
		refused = "refuses a hard link to a lower layer"
		applied = "sets the attributes of the link's header"
	)
	across := everyone(refused, Kernel, OldEngine, Engine, Podman)
	capable := File("a", "elf").Xattr("security.capability", capability)
	fifo := Entry{Header: tar.Header{Name: "p", Typeflag: tar.TypeFifo}}
	other := func(e Entry) Entry {
		return e.With(func(h *tar.Header) { h.Mode, h.Uid, h.ModTime = 0o4700, 9, time.Unix(5, 0) })
	}
	return []Case{
		{
			Name: "C6 a member that a higher layer replaced", Why: rule,
			Layers: layersOf(t, l{File("a", "old"), Link("b", "a"), Link("c", "/a")}, l{File("a", "new")}),
			Want:   is{File("a", "new"), File("b", "old"), Link("c", "b")},
		},
		{
			Name: "C6 a member that a higher layer removed", Why: rule,
			Layers: layersOf(t, l{File("a", "old"), Link("b", "a")}, l{File(".wh.a", "")}),
			Want:   is{File("b", "old")},
		},
		{
			Name: "C6 a member in a directory that a higher layer removed", Why: rule,
			Layers: layersOf(t, l{Dir("d"), File("d/a", "x"), Link("b", "d/a"), Link("c", "d/a")}, l{File(".wh.d", "")}),
			Want:   is{File("b", "x"), Link("c", "b")},
		},
		{
			Name: "C6 a group that spans layers", Shapes: []layer.Shape{layer.LinkBelow}, Why: rule,
			Layers: layersOf(t, l{File("a", "x"), Link("b", "a")}, l{Link("c", "./b")}),
			Want:   is{File("a", "x"), Link("b", "a"), Link("c", "a")},
			Differ: across,
		},
		{
			Name: "C6 a group that spans layers, its first member replaced", Shapes: []layer.Shape{layer.LinkBelow}, Why: rule,
			Layers: layersOf(t, l{File("a", "x"), Link("b", "a")}, l{Link("c", "b")}, l{File("a", "new")}, l{Link("d", "c"), File(".wh.b", "")}),
			Want:   is{File("a", "new"), File("c", "x"), Link("d", "c")},
			Differ: across,
		},
		{
			Name: "C6 links of copies, and a copy that is none", Why: rule,
			Layers: layersOf(t, l{File("a", "same"), Link("b", "a"), File("c", "same"), Link("d", "c"), File("e", "same")}),
			Want:   is{File("a", "same"), Link("b", "a"), File("c", "same"), Link("d", "c"), File("e", "same")},
		},
		{
			Name: "C6 a hard link to a hard link", Why: rule,
			Layers: layersOf(t, l{File("z", "x"), Link("b", "z"), Link("a", "b")}),
			Want:   is{File("z", "x"), Link("b", "z"), Link("a", "z")},
		},
		{
			Name: "C6 link targets of all spellings", Why: "002, Names",
			Layers: layersOf(t, l{Dir("d"), File("./d/a", "x"), Link("b", "/d/a"), Link("./c", "./d//a")}),
			Want:   is{File("b", "x"), Link("c", "b"), Dir("d"), Link("d/a", "b")},
		},
		{
			Name: "a hard link to a file that its own layer removes", Shapes: []layer.Shape{layer.LinkBelow}, Why: "002, Model: targets are looked up first",
			Layers: layersOf(t, l{File("a", "x")}, l{File(".wh.a", ""), Link("b", "a")}),
			Want:   is{File("b", "x")},
			Differ: map[Judge]string{Kernel: refused, OldEngine: refused, Engine: refused, Umoci: "looks it up later", Podman: refused},
		},
		{
			Name: "a hard link is to what its target was then", Shapes: []layer.Shape{layer.Repeated}, Why: "002: the later of two entries replaces",
			Layers: layersOf(t, l{File("a", "1"), Link("b", "a"), File("a", "2")}),
			Want:   is{File("a", "2"), File("b", "1")},
			Differ: everyone(twice, OldEngine, Podman),
		},
		{
			Name: "hard links to a symlink and a fifo", Why: "layer.md, Hardlinks: possible with all types but directories",
			Layers: layersOf(t, l{Symlink("s", "x"), Link("t", "s"), fifo, Link("q", "p")}),
			Want:   is{fifo, Link("q", "p"), Symlink("s", "x"), Link("t", "s")},
		},
		{
			Name: "a hard link whose header says other attributes", Shapes: []layer.Shape{layer.LinkAttributes}, Why: header,
			Layers: layersOf(t, l{File("a", "x"), other(Link("b", "a"))}),
			Want:   is{File("a", "x"), Link("b", "a")},
			Differ: everyone(applied, OldEngine, Engine, Podman),
		},
		{
			Name: "a hard link whose header does not repeat the capabilities", Shapes: []layer.Shape{layer.LinkAttributes}, Why: header,
			Layers: layersOf(t, l{capable, Link("b", "a")}),
			Want:   is{capable, Link("b", "a")},
			Differ: everyone("drops the capabilities when it changes the owner", OldEngine, Engine),
		},
		{
			Name: "an empty file of two names", Why: rule,
			Layers: layersOf(t, l{File("a", ""), Link("b", "a"), File("c", "")}),
			Want:   is{File("a", ""), Link("b", "a"), File("c", "")},
		},
	}
}
