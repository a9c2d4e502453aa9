package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

type stack [][]Entry

func tars(t testing.TB, s stack) [][]byte {
	out := make([][]byte, len(s))
	for i, l := range s {
		out[i] = Tar(t, l...)
	}
	return out
}

// TestTorture holds what merging makes of each shape against what is expected of
// it, and writes that out and reads it again.
func TestTorture(t *testing.T) {
	for _, c := range Torture(t) {
		t.Run(c.Name, func(t *testing.T) {
			tree, shapes := ambiguities(t, c.Layers...)
			if diff := Compare(Expect(c.Want), AllLines(tree)); diff != "" {
				t.Fatalf("%s %s", c.Why, diff)
			}
			if !slices.Equal(slices.Sorted(maps.Keys(shapes)), c.Shapes) {
				t.Errorf("ambiguous: %v", shapes)
			}
			if again := merge(t, rewrite(t, tree, contents(t, c.Layers))); again.Digest() != tree.Digest() {
				t.Errorf("written and read again it differs in %v", layer.Diff(tree, again))
			}
		})
	}
}

func TestNoLayers(t *testing.T) {
	if tree := merge(t); tree.Len() != 1 {
		t.Errorf("%d entries", tree.Len())
	}
}

// contents returns the contents of all files of a stack by where they were read.
func contents(t testing.TB, layers [][]byte) map[layer.Position]*bytes.Buffer {
	out := map[layer.Position]*bytes.Buffer{}
	for i, data := range layers {
		_, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{File: func(ordinal int, _ int64, _ hash.Hash) (io.Writer, error) {
			b := &bytes.Buffer{}
			out[layer.Position{Layer: int32(i), Ordinal: int32(ordinal)}] = b
			return b, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestMergeKeepsContentOfReplacedMember(t *testing.T) {
	tree := merge(t, tars(t, stack{{File("a", "old"), Link("b", "a")}, {File("a", "new")}})...)
	a, _ := tree.Lookup("a")
	b, _ := tree.Lookup("b")
	if a.Source != (layer.Position{Layer: 1, Ordinal: 0}) || b.Source != (layer.Position{Layer: 0, Ordinal: 0}) || a.Sum == b.Sum {
		t.Errorf("a from %v, b from %v", a.Source, b.Source)
	}
}

func TestAuxiliaryFileGivesItsAttributes(t *testing.T) {
	file := File(".wh..wh.plnk/1.2", "content")
	file.Mode, file.Uid = 0o4711, 9
	tree := merge(t, Tar(t, File("x", "")), Tar(t, file, Link("a", ".wh..wh.plnk/1.2")))
	a, _ := tree.Lookup("a")
	if a.Inode == nil || a.Mode != 0o4711 || a.UID != 9 || a.Size != 7 || a.Source != (layer.Position{Layer: 1, Ordinal: 0}) {
		t.Errorf("got %+v", a)
	}
	if _, err := tryMerge(t, Tar(t, file), Tar(t, Link("a", ".wh..wh.plnk/1.2"))); err == nil {
		t.Error("another layer's auxiliary file was found")
	}
}

// Linux has paths of up to 4095 bytes; the slash at the end of a directory's name,
// or spellings that mean nothing, do not count.
func TestLongestPath(t *testing.T) {
	deep := strings.Repeat(strings.Repeat("x", 254)+"/", 16)
	longest := deep + strings.Repeat("y", 4095-len(deep))
	for name, ok := range map[string]bool{longest: true, longest + "/": true, ".//" + longest + "//": true, longest + "y": false} {
		if _, err := tryMerge(t, Tar(t, Dir(name))); (err == nil) != ok {
			t.Errorf("%d bytes: got %v", len(name), err)
		}
	}
}

func TestAttributes(t *testing.T) {
	full := tar.Header{
		Name: "f", Typeflag: tar.TypeReg, Mode: 0o6755, Uid: 5_000_000, Gid: 1 << 31, ModTime: time.Unix(-5, 123456789),
		PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02", "SCHILY.xattr.user.a": "1\n=2"},
	}
	tree := merge(t, Tar(t, Entry{Header: full, Body: "x"}, Entry{Header: tar.Header{Name: "dev", Typeflag: tar.TypeBlock, Devmajor: 8, Devminor: 70000}}))
	f, _ := tree.Lookup("f")
	want := layer.Inode{
		Type: layer.Regular, Mode: 0o6755, UID: 5_000_000, GID: 1 << 31, Sec: -5, Nsec: 123456789, Size: 1, Sum: f.Sum,
		Xattrs: []layer.Xattr{{Name: "security.capability", Value: "\x01\x00\x00\x02"}, {Name: "user.a", Value: "1\n=2"}},
	}
	if diff := cmp.Diff(want, *f.Inode); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d, _ := tree.Lookup("dev"); d.Type != layer.BlockDev || d.Major != 8 || d.Minor != 70000 {
		t.Errorf("device is %v %d:%d", d.Type, d.Major, d.Minor)
	}
}

func TestImpliedDirectories(t *testing.T) {
	tree := merge(t, Tar(t, File("a/b/c", "")), Tar(t, Dir("a"), File("a/b/d", "")))
	for path, implied := range map[string]bool{".": true, "a": false, "a/b": true} {
		e, ok := tree.Lookup(path)
		if !ok || e.Implied != implied {
			t.Fatalf("%s: implied is %v", path, e.Implied)
		}
		if implied && (e.Mode != 0o755 || e.UID != 0 || e.GID != 0 || e.Sec != 0 || e.Nsec != 0) {
			t.Errorf("%s: attributes %+v", path, e.Inode)
		}
	}
	// A layer without an entry for the directory leaves a lower one's attributes.
	kept := merge(t, Tar(t, Entry{Header: tar.Header{Name: "tmp", Typeflag: tar.TypeDir, Mode: 0o1777}}), Tar(t, File("tmp/x", "")))
	if e, _ := kept.Lookup("tmp"); e.Mode != 0o1777 || e.Implied {
		t.Errorf("tmp has mode %o", e.Mode)
	}
}

func TestMergeErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		layers stack
		text   string
	}{
		"dots":                 {stack{{File("a/../../etc/passwd", "")}}, `has a ".." component`},
		"dots in a link":       {stack{{Link("a", "../b")}}, `has a ".." component`},
		"dots in a whiteout":   {stack{{File("../.wh.x", "")}}, `has a ".." component`},
		"whiteout of nothing":  {stack{{File("d/.wh.", "")}}, "is a whiteout of no name"},
		"whiteout of the dir":  {stack{{File("d/.wh..", "")}}, "is a whiteout of no name"},
		"whiteout of parent":   {stack{{File("d/.wh...", "")}}, "is a whiteout of no name"},
		"whiteout as parent":   {stack{{File(".wh.d/x", "")}}, "is inside of a directory that has a whiteout's name"},
		"long component":       {stack{{File(strings.Repeat("x", 256), "")}}, "component longer than 255 bytes"},
		"long path":            {stack{{File(strings.Repeat("x/", 2100)+"f", "")}}, "longer than 4095 bytes"},
		"link to nothing":      {stack{{Link("a", "b")}}, `hard link "a": target "b" does not exist`},
		"link to a directory":  {stack{{Dir("b"), Link("a", "b")}}, `hard link "a": target "b"`},
		"link to later entry":  {stack{{Link("a", "b"), File("b", "")}}, `hard link "a": target "b" does not exist`},
		"link to itself":       {stack{{File("a", ""), Link("./a", "a")}}, `hard link to "a" cannot be made`},
		"symlink loop":         {stack{{Symlink("a", "b"), Symlink("b", "a"), File("a/x", "")}}, "too many levels of symbolic links"},
		"root is a file":       {stack{{File(".", "")}}, "the root is not a directory"},
		"unknown type":         {stack{{Entry{Header: tar.Header{Name: "x", Typeflag: 'V'}}}}, `unknown tar entry type 'V'`},
		"device out of range":  {stack{{Entry{Header: tar.Header{Name: "x", Typeflag: tar.TypeChar, Devmajor: 5000}}}}, "device number 5000:0 is out of range"},
		"symlink growing deep": {stack{{Symlink("a", "b/a"), Symlink("b", "."), File("a/x", "")}}, "too many levels of symbolic links"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryMerge(t, tars(t, tt.layers)...)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %q", err, tt.text)
			}
		})
	}
}

func TestDiffAndDigestAgree(t *testing.T) {
	base := []Entry{Dir("d"), File("d/f", "content"), Link("g", "d/f"), Symlink("s", "d"), File("h", "")}
	change := func(i int, fn func(*Entry)) []Entry {
		out := slices.Clone(base)
		fn(&out[i])
		return out
	}
	a := merge(t, Tar(t, base...))
	for what, entries := range map[string][]Entry{
		"d mode":      change(0, func(e *Entry) { e.Mode = 0o700 }),
		"d owner":     change(0, func(e *Entry) { e.Gid = 7 }),
		"d mtime":     change(0, func(e *Entry) { e.ModTime = When.Add(1) }),
		"d/f content": change(1, func(e *Entry) { e.Body = "CONTENT" }),
		"h size":      change(4, func(e *Entry) { e.Body = "x" }),
		"h xattrs":    change(4, func(e *Entry) { e.PAXRecords = map[string]string{"SCHILY.xattr.user.x": ""} }),
		"s target":    change(3, func(e *Entry) { e.Linkname = "h" }),
		"s type":      change(3, func(e *Entry) { *e = Dir("s") }),
		"g link":      change(2, func(e *Entry) { *e = File("g", "content") }),
		"x entry":     append(slices.Clone(base), File("x", "")),
		"h entry":     base[:4],
	} {
		b := merge(t, Tar(t, entries...))
		var found []string
		for _, d := range layer.Diff(a, b) {
			found = append(found, d.Path+" "+d.What)
		}
		if !slices.Contains(found, what) {
			t.Errorf("%s: Diff found %q", what, found)
		}
		if a.Digest() == b.Digest() {
			t.Errorf("%s: the digests are equal", what)
		}
	}
	if d := layer.Diff(a, merge(t, Tar(t, base...))); len(d) > 0 {
		t.Errorf("equal trees differ in %v", d)
	}
}

func TestErrorsCanBeTold(t *testing.T) {
	_, err := tryMerge(t, Tar(t, Link("a", "b")))
	var link *layer.LinkError
	if !errors.As(err, &link) || fmt.Sprint(link.Path, link.Target) != "ab" {
		t.Errorf("got %v", err)
	}
	_, err = tryMerge(t, Tar(t, File("../x", "")))
	var name *layer.NameError
	if !errors.As(err, &name) || name.Name != "../x" {
		t.Errorf("got %v", err)
	}
}
