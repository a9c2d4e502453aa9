package layertest

import (
	"archive/tar"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

const (
	opaqueRule    = "layer.md, Opaque Whiteout: hides what lower layers have in the directory"
	whiteoutRule  = "layer.md, Whiteouts: only resources of lower layers are hidden, with everything below them"
	whiteoutNames = "layer.md, Whiteouts: .wh. is a prefix of the basename"
	aufsNames     = "002, Names: AUFS's bookkeeping is no file"
	shownAgain    = "shows the lower children again, or refuses the layer"
	rootIgnored   = "ignores an opaque marker in the root"
)

func whiteoutCases(t testing.TB) []Case {
	marker := func(name string) Entry { return File(name, "") }
	return []Case{
		{
			Name: "C2 a whiteout hides a whole subtree", Why: whiteoutRule,
			Layers: layersOf(t, l{Dir("d/"), Dir("d/e/"), File("d/e/secret", "x"), File("d2", "")}, l{marker(".wh.d")}),
			Want:   is{File("d2", "")},
		},
		{
			Name: "a whiteout in a directory that its layer does not list", Why: "002: the lower layer's attributes stay",
			Layers: layersOf(t, l{Dir("d"), Dir("d/e"), File("d/e/f", "x")}, l{marker("d/.wh.e")}),
			Want:   is{Dir("d")},
			Differ: bareParent(),
		},
		{
			Name: "a whiteout acts on lower layers only, before it in the layer", Shapes: []layer.Shape{layer.Recreated}, Why: whiteoutRule,
			Layers: layersOf(t, l{Dir("d"), File("d/old", "")}, l{marker(".wh.d"), Dir("d"), File("d/new", "")}),
			Want:   is{Dir("d"), File("d/new", "")},
			Differ: everyone(shownAgain, OldEngine, Engine, Podman),
		},
		{
			Name: "a whiteout acts on lower layers only, after the directory", Shapes: []layer.Shape{layer.Recreated}, Why: whiteoutRule,
			Layers: layersOf(t, l{Dir("d"), File("d/old", "")}, l{Dir("d"), File("d/new", ""), marker(".wh.d")}),
			Want:   is{Dir("d"), File("d/new", "")},
			Differ: everyone(shownAgain, OldEngine, Engine, Podman, Umoci),
		},
		{
			Name: "C3 a whiteout after the file of that name", Shapes: []layer.Shape{layer.Recreated}, Why: whiteoutRule,
			Layers: layersOf(t, l{File("f", "old")}, l{File("f", "new"), marker(".wh.f")}),
			Want:   is{File("f", "new")},
			Differ: everyone("removes the layer's own file, or refuses the layer", OldEngine, Engine, Podman),
		},
		{
			Name: "a whiteout before the file of that name", Why: whiteoutRule,
			Layers: layersOf(t, l{File("f", "old")}, l{marker(".wh.f"), File("f", "new")}),
			Want:   is{File("f", "new")},
		},
		{
			Name: "C3 an opaque marker before the additions of its layer", Why: opaqueRule,
			Layers: layersOf(t, l{Dir("d"), File("d/old", "")}, l{Dir("d"), marker("d/.wh..wh..opq"), File("d/new", "")}),
			Want:   is{Dir("d"), File("d/new", "")},
		},
		{
			Name: "C3 an opaque marker after the additions of its layer", Why: opaqueRule,
			Layers: layersOf(t, l{Dir("d"), File("d/old", "")}, l{Dir("d"), File("d/new", ""), marker("d/.wh..wh..opq")}),
			Want:   is{Dir("d"), File("d/new", "")},
		},
		{
			Name: "an opaque marker among the additions, deep", Why: opaqueRule,
			Layers: layersOf(t,
				l{Dir("d"), Dir("d/e"), File("d/e/old", ""), File("d/f", "old")},
				l{Dir("d"), Dir("d/e"), File("d/e/new", "1"), marker("d/.wh..wh..opq"), File("d/e/newer", "2")},
				l{Dir("d"), Dir("d/e"), marker("d/e/.wh..wh..opq"), File("d/e/newest", "3")}),
			Want: is{Dir("d"), Dir("d/e"), File("d/e/newest", "3")},
		},
		{
			Name: "an opaque marker keeps the directory", Why: opaqueRule,
			Layers: layersOf(t, l{Dir("d"), File("d/x", "")}, l{Dir("d"), marker("d/.wh..wh..opq")}),
			Want:   is{Dir("d")},
		},
		{
			Name: "C3 an opaque root", Shapes: []layer.Shape{layer.OpaqueRoot}, Why: opaqueRule,
			Layers: layersOf(t, l{Dir("d"), File("d/old", "")}, l{File("a", "1"), marker(".wh..wh..opq"), File("z", "2")}),
			Want:   is{File("a", "1"), File("z", "2")},
			Differ: everyone(rootIgnored, OldEngine, Engine, Podman),
		},
		{
			Name: "a whiteout of what is not there", Why: whiteoutRule,
			Layers: layersOf(t, l{File("a", "")}, l{marker(".wh.b"), Dir("d"), marker("d/.wh.x")}),
			Want:   is{File("a", ""), Dir("d")},
		},
		{
			Name: "a whiteout and an opaque marker for one directory", Why: whiteoutRule,
			Layers: layersOf(t, l{Dir("d"), File("d/x", ""), Dir("d/e")}, l{Dir("d"), marker("d/.wh..wh..opq"), marker("d/.wh.x")}),
			Want:   is{Dir("d")},
		},
		{
			Name: "what a whiteout hid does not come back with a new directory", Why: whiteoutRule,
			Layers: layersOf(t, l{Dir("d"), File("d/old", "")}, l{marker(".wh.d")}, l{Dir("d"), File("d/new", "")}),
			Want:   is{Dir("d"), File("d/new", "")},
		},
		{
			Name: "C4 .wh. in the middle of a name", Why: whiteoutNames,
			Layers: layersOf(t, l{File("a.wh.b", "1"), File("b", "2"), Dir("d.wh.e"), File("d.wh.e/f", "3")}, l{File("c.wh.b", "4")}),
			Want:   is{File("a.wh.b", "1"), File("b", "2"), File("c.wh.b", "4"), Dir("d.wh.e"), File("d.wh.e/f", "3")},
		},
		{
			Name: "whiteouts of names that begin with dots", Why: whiteoutNames,
			Layers: layersOf(t, l{File("...", ""), File(".hidden", ""), File("..x", ""), File("kept", "")}, l{marker(".wh...."), marker(".wh..hidden"), marker(".wh...x")}),
			Want:   is{File("kept", "")},
		},
		{
			Name: "whiteouts that are hard links, as AUFS has them", Why: "layer.md, Whiteouts: the name makes the whiteout; AUFS links all to one file",
			Layers: layersOf(t, l{File("a", ""), File("b", ""), File("c", "")}, l{File(".wh..wh.aufs", ""), Link(".wh.a", ".wh..wh.aufs"), Link(".wh.b", ".wh..wh.aufs")}),
			Want:   is{File("c", "")},
			Differ: everyone("knows no names of AUFS", Kernel),
		},
		{
			Name: ".wh..wh. names other than the opaque marker", Why: aufsNames,
			Layers: layersOf(t, l{marker(".wh..wh.x"), Dir(".wh..wh.orph"), File("a", "")}),
			Want:   is{File("a", "")},
			Differ: everyone("knows no names of AUFS", Kernel),
		},
		{
			Name: "hard links to AUFS's auxiliary files", AtRoot: true, Why: aufsNames + "; but hard links may lead to it",
			Layers: layersOf(t, l{Dir(".wh..wh.plnk"), File(".wh..wh.plnk/1.2", "x"), Link("a", ".wh..wh.plnk/1.2"), Link("b", "/.wh..wh.plnk/1.2")}),
			Want:   is{File("a", "x"), Link("b", "a")},
			Differ: everyone("knows no names of AUFS, or keeps the directory", Umoci, Kernel, OldEngine, Engine, Podman),
		},
		{
			Name: "devices that overlay mounts take for whiteouts", Why: "002: a character device 0:0 is one",
			Layers: layersOf(t, l{File("a", "1")}, l{Entry{Header: tar.Header{Name: "b", Typeflag: tar.TypeChar}}}),
			Want:   is{File("a", "1"), Entry{Header: tar.Header{Name: "b", Typeflag: tar.TypeChar}}},
			Lost:   everyone("an overlay shows no such device", Kernel, OldEngine, Engine, Podman),
		},
	}
}

func replacementCases(t testing.TB) []Case {
	const rule = "layer.md, Changeset: an entry replaces what has its path, only directories are merged"
	sticky := Dir("d").With(func(h *tar.Header) { h.Mode, h.Uid = 0o1777, 7 })
	return []Case{
		{
			Name: "C5 a file replaces a directory", Why: rule,
			Layers: layersOf(t, l{Dir("d"), File("d/x", "")}, l{File("d", "f")}),
			Want:   is{File("d", "f")},
		},
		{
			Name: "C5 a symlink replaces a directory", Why: rule,
			Layers: layersOf(t, l{Dir("d"), File("d/x", ""), Dir("e")}, l{Symlink("d", "e")}),
			Want:   is{Symlink("d", "e"), Dir("e")},
		},
		{
			Name: "C5 what a file replaced does not come back with a directory", Why: rule,
			Layers: layersOf(t, l{Dir("d"), File("d/x", "")}, l{File("d", "")}, l{Dir("d")}),
			Want:   is{Dir("d")},
		},
		{
			Name: "a directory replaces a file", Why: rule,
			Layers: layersOf(t, l{File("d", "")}, l{Dir("d"), File("d/x", "1")}),
			Want:   is{Dir("d"), File("d/x", "1")},
		},
		{
			Name: "a directory replaces a symlink to a directory", Why: rule,
			Layers: layersOf(t, l{Dir("e"), Symlink("d", "e")}, l{Dir("d"), File("d/x", "1")}),
			Want:   is{Dir("d"), File("d/x", "1"), Dir("e")},
		},
		{
			Name: "a fifo replaces a device, a device a symlink", Why: rule,
			Layers: layersOf(t,
				l{Entry{Header: tar.Header{Name: "a", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, Symlink("b", "a")},
				l{Entry{Header: tar.Header{Name: "a", Typeflag: tar.TypeFifo}}, Entry{Header: tar.Header{Name: "b", Typeflag: tar.TypeBlock, Devmajor: 7, Devminor: 300}}}),
			Want: is{Entry{Header: tar.Header{Name: "a", Typeflag: tar.TypeFifo}}, Entry{Header: tar.Header{Name: "b", Typeflag: tar.TypeBlock, Devmajor: 7, Devminor: 300}}},
		},
		{
			Name: "a directory's new attributes, its old children", Why: rule,
			Layers: layersOf(t, l{Dir("d"), File("d/x", "1")}, l{sticky}),
			Want:   is{sticky, File("d/x", "1")},
		},
		{
			Name: "the last of several entries of a name", Shapes: []layer.Shape{layer.Repeated}, Why: "002: the later one counts",
			Layers: layersOf(t, l{File("x", "1"), Dir("y"), File("y/z", ""), Dir("x"), File("y", "2")}),
			Want:   is{Dir("x"), File("y", "2")},
			Differ: everyone(twice, OldEngine, Podman, Kernel),
		},
		{
			Name: "a file twice in a layer", Shapes: []layer.Shape{layer.Repeated}, Why: "002: the later one counts",
			Layers: layersOf(t, l{File("x", "1"), File("x", "22")}),
			Want:   is{File("x", "22")},
			Differ: everyone(twice, OldEngine, Podman),
		},
		{
			Name: "children before their directory", Why: "002: the directory's entry sets the attributes",
			Layers: layersOf(t, l{File("d/x", "1"), sticky}),
			Want:   is{sticky, File("d/x", "1")},
		},
		{
			Name: "no entry for a parent", Why: "002: 0755, 0:0, time 0",
			Layers: layersOf(t, l{File("d/e/x", "1")}),
			Want:   is{Implied("d"), Implied("d/e"), File("d/e/x", "1")},
			Differ: everyone("the directories have the time of unpacking", Umoci, OldEngine, Engine, Podman),
		},
		{
			Name: "C8 no entry for a parent that a lower layer has", Shapes: []layer.Shape{layer.BareParent}, Why: "002: the lower layer's attributes stay",
			Layers: layersOf(t, l{sticky}, l{File("d/x", "1")}),
			Want:   is{sticky, File("d/x", "1")},
			Differ: bareParent(),
		},
		{
			Name: "an entry below a symlink of a lower layer", Shapes: []layer.Shape{layer.BelowSymlink}, Why: "002: it is followed, inside of the root",
			Layers: layersOf(t, l{Dir("usr"), Dir("usr/lib"), Symlink("lib", "usr/lib")}, l{File("lib/x", "1")}),
			Want:   is{Symlink("lib", "usr/lib"), Dir("usr"), Dir("usr/lib"), File("usr/lib/x", "1")},
			Differ: everyone("puts a directory in the symlink's place", Kernel, OldEngine, Engine, Podman),
		},
		{
			Name: "an entry below a symlink of its own layer, absolute, out of the root", AtRoot: true, Why: "002: it is followed, inside of the root",
			Layers: layersOf(t, l{Dir("t"), Symlink("up", "/../../t"), File("up/x", "1")}),
			Want:   is{Dir("t"), File("t/x", "1"), Symlink("up", "/../../t")},
			Differ: everyone("follows symlinks out of the directory", Kernel),
		},
		{
			Name: "a symlink is not followed where its layer has a directory", Why: "002: the directory replaces the symlink",
			Layers: layersOf(t, l{Dir("usr"), Symlink("lib", "usr")}, l{File("lib/x", "1"), Dir("lib")}),
			Want:   is{Dir("lib"), File("lib/x", "1"), Dir("usr")},
			Differ: everyone("goes by the order of entries", Kernel, Umoci),
		},
	}
}
