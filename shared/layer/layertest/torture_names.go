package layertest

import (
	"archive/tar"
	"strings"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

func nameCases(t testing.TB) []Case {
	const rule = "002, Names: spellings of a path do not count"
	long := strings.Repeat("long-name-", 15)
	deep := strings.TrimSuffix(strings.Repeat(strings.Repeat("d", 200)+"/", 10), "/")
	format := func(f tar.Format) func(*tar.Header) { return func(h *tar.Header) { h.Format = f } }
	parents := func(p string) (out []Entry) {
		for i, c := range p {
			if c == '/' {
				out = append(out, Dir(p[:i]))
			}
		}
		return out
	}
	odd := "new\nline \\ \"quote\" %s = ü \u0301"
	split := strings.Repeat("p", 90) + "/" + strings.Repeat("q", 90)
	return []Case{
		{
			Name: "C7 names of all spellings", Why: rule,
			Layers: layersOf(t, l{Dir("./usr/"), File("usr/x", "1"), File("/usr/y", ""), File("usr//z", "3"), Dir("./"), Dir("//")}, l{File("./usr/.wh.y", ""), File("usr/./x", "2")}),
			Want:   is{Dir("."), Dir("usr"), File("usr/x", "2"), File("usr/z", "3")},
			Differ: bareParent(),
		},
		{
			Name: "C1 names and link targets over 100 bytes that begin alike", Why: "pax(1), path and linkpath",
			Layers: layersOf(t, l{File(long+"1", "a"), File(long+"2", "b"), Symlink("s", long+"/"+long), Link("t", long+"1")}),
			Want:   is{File(long+"1", "a"), File(long+"2", "b"), Symlink("s", long+"/"+long), Link("t", long+"1")},
		},
		{
			Name: "C1 GNU long names and link targets", Why: "GNU tar manual, L and K entries",
			Layers: layersOf(t, l{File(long+"1", "a").With(format(tar.FormatGNU)), File(long+"2", "b").With(format(tar.FormatGNU)), Symlink("s", long+"/"+long).With(format(tar.FormatGNU)), Link("t", long+"2").With(format(tar.FormatGNU))}),
			Want:   is{File(long+"1", "a"), File(long+"2", "b"), Symlink("s", long+"/"+long), Link("t", long+"2")},
		},
		{
			Name: "C1 a path of 2000 bytes, removed again in part", Why: "pax(1), path",
			Layers: layersOf(t, append(parents(deep+"/"), File(deep+"/f", "1"), File(deep+"/g", "2")), append(parents(deep+"/"), File(deep+"/.wh.f", ""))),
			Want:   append(parents(deep+"/"), File(deep+"/g", "2")),
		},
		{
			Name: "a name in ustar's prefix", Why: "pax(1), ustar: prefix/name",
			Layers: layersOf(t, l{Dir(strings.Repeat("p", 90)), File(split, "x").With(format(tar.FormatUSTAR))}),
			Want:   is{Dir(strings.Repeat("p", 90)), File(split, "x")},
		},
		{
			Name: "the longest name", Why: "Linux: 255 bytes",
			Layers: layersOf(t, l{File(strings.Repeat("n", 255), "x")}),
			Want:   is{File(strings.Repeat("n", 255), "x")},
		},
		{
			Name: "names that are no text", Why: "002, Names: bytes, but / and NUL",
			Layers: layersOf(t, l{File("\xff\xfe", "1"), File(odd, "2"), File(" ", "3"), File("-rf", "4")}),
			Want:   is{File("\xff\xfe", "1"), File(odd, "2"), File(" ", "3"), File("-rf", "4")},
		},
		{
			Name: "names around the separator in the order of bytes", Why: "001: sorted as strings of bytes",
			Layers: layersOf(t, l{Dir("a"), File("a/b", "1"), File("a-b", "2"), File("a.b", "3"), File("a0", "4")}),
			Want:   is{Dir("a"), File("a-b", "2"), File("a.b", "3"), File("a/b", "1"), File("a0", "4")},
		},
	}
}

func attributeCases(t testing.TB) []Case {
	const rule = "layer.md, File Types and attributes: uid, gid, mode, mtime, xattrs"
	set := func(e Entry, f func(*tar.Header)) Entry { return e.With(f) }
	at := func(name string, sec, nsec int64) Entry {
		return set(File(name, name), func(h *tar.Header) { h.ModTime = time.Unix(sec, nsec) })
	}
	owner := func(name string, uid, gid int) Entry {
		return set(File(name, ""), func(h *tar.Header) { h.Uid, h.Gid = uid, gid })
	}
	gnu := func(e Entry) Entry { return set(e, func(h *tar.Header) { h.Format = tar.FormatGNU }) }
	device := func(name string, kind byte, major, minor int64) Entry {
		return Entry{Header: tar.Header{Name: name, Typeflag: kind, Devmajor: major, Devminor: minor, Mode: 0o660}}
	}
	mode := func(e Entry, mode int64) Entry { return set(e, func(h *tar.Header) { h.Mode = mode }) }
	root := set(Dir("."), func(h *tar.Header) { h.Mode, h.Uid, h.Gid = 0o700, 3, 4 })
	all := l{
		File("cap", "elf").Xattr("security.capability", capability),
		File("many", "").Xattr("user.a", "1\n=2").Xattr("user.nul", "\x00\xff\x00").Xattr("user.long", strings.Repeat("v", 3000)),
		Dir("dir").Xattr("user.on.a.directory", "yes"),
	}
	empty := l{File("a", "").Xattr("user.empty", "")}
	trusted := l{File("a", "").Xattr("trusted.x", "y")}
	owners := l{owner("a", 1<<21+1, 1<<21+2), owner("b", 1<<31+5, 1<<32-2), owner("c", 65534, 65535)}
	devices := l{
		device("b", tar.TypeBlock, 8, 70000), device("c", tar.TypeChar, 1, 3), device("c2", tar.TypeChar, 4095, 1<<20-1),
		{Header: tar.Header{Name: "p", Typeflag: tar.TypeFifo, Mode: 0o622}},
	}
	modes := l{mode(Dir("d"), 0o2775), mode(File("f", ""), 0o6755), mode(File("g", ""), 0o7777), mode(File("h", ""), 0o001), mode(Dir("t"), 0o1777)}
	past := l{at("half", -3, 500_000_000), at("past", -5_000, 0)}
	times := l{at("future", 1<<33, 5), at("sub", 1_700_000_000, 123_456_789), at("zero", 0, 0)}
	return []Case{
		{
			Name: "C1 extended attributes and file capabilities", Why: rule, Layers: layersOf(t, all), Want: all,
		},
		{
			Name: "an extended attribute with an empty value", Why: "002: is set, to the empty value", Layers: layersOf(t, empty), Want: empty,
			Lost: everyone("sets none", OldEngine, Podman, Umoci),
		},
		{
			Name: "trusted attributes", Why: rule, Layers: layersOf(t, trusted), Want: trusted,
			Lost: everyone("leaves trusted.* out", Engine),
		},
		{Name: "C1 owners over 2^21", Why: rule, Layers: layersOf(t, owners), Want: owners},
		{Name: "owners over 2^21 in base 256", Why: "GNU tar manual, numbers in base 256", Layers: layersOf(t, l{gnu(owners[0]), gnu(owners[1]), owners[2]}), Want: owners},
		{
			Name: "times before 1970", Why: "pax(1), mtime: seconds may be negative", Layers: layersOf(t, past), Want: past,
			Lost: everyone("sets 1970 instead", OldEngine, Engine, Podman),
		},
		{
			Name: "a time before 1970 in base 256", Why: "GNU tar manual, numbers in base 256", Layers: layersOf(t, l{gnu(past[1])}), Want: past[1:],
			Lost: everyone("sets 1970 instead", OldEngine, Engine, Podman),
		},
		{Name: "C1 sub-second and far times", Why: rule, Layers: layersOf(t, times), Want: times},
		{Name: "a far time in base 256", Why: "GNU tar manual, numbers in base 256", Layers: layersOf(t, l{gnu(at("future", 1<<33+1, 0))}), Want: l{at("future", 1<<33+1, 0)}},
		{Name: "C12 devices and fifos, next to empty files", Why: rule, Layers: layersOf(t, devices, l{File("e1", ""), File("e2", ""), Dir("e3"), Symlink("e4", "x")}), Want: append(devices[:4:4], File("e1", ""), File("e2", ""), Dir("e3"), Symlink("e4", "x"))},
		{Name: "modes with all bits", Why: rule, Layers: layersOf(t, modes), Want: modes},
		{
			Name: "attributes of the root", Shapes: []layer.Shape{layer.RootAttributes}, Why: "002: an entry for the root sets its attributes",
			Layers: layersOf(t, l{Dir("./"), File("a", "")}, l{root}), Want: is{root, File("a", "")},
		},
		{
			Name: "the mode on a symlink", Why: "002: Linux has none",
			Layers: layersOf(t, l{mode(Symlink("s", "x"), 0o600)}), Want: is{Symlink("s", "x")},
		},
		{
			Name: "the time of a directory that gets children later", Why: rule,
			Layers: layersOf(t, l{set(Dir("d"), func(h *tar.Header) { h.ModTime = time.Unix(77, 5) }), File("d/a", "")}),
			Want:   is{set(Dir("d"), func(h *tar.Header) { h.ModTime = time.Unix(77, 5) }), File("d/a", "")},
		},
		{
			Name: "C14 large copies", Why: "equal contents stay separate files",
			Layers: layersOf(t, l{File("1", strings.Repeat("large ", 100_000)), File("2", "x")}, l{File("3", strings.Repeat("large ", 100_000))}),
			Want:   is{File("1", strings.Repeat("large ", 100_000)), File("2", "x"), File("3", strings.Repeat("large ", 100_000))},
		},
	}
}
