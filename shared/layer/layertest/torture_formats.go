package layertest

import (
	"archive/tar"
	"maps"
	"slices"
	"strings"
	"testing"
)

func formatCases(t testing.TB) []Case {
	raw := func(r Raw, body string) []byte {
		r.Size = len(body)
		return append(r.Bytes(), Pad(body)...)
	}
	global := PAX('g', "comment=all", "mtime=1", "uid=7")
	cases := []Case{
		{
			Name: "an empty layer", Why: "tar: two blocks of zeros",
			Layers: [][]byte{Tar(t), Tar(t, File("a", "1")), Tar(t)},
			Want:   is{File("a", "1")},
		},
		{
			Name: "old headers without a magic", Why: "V7 tar: a name that ends in a slash is a directory",
			Layers: [][]byte{Archive(raw(Raw{Name: "d/", Extra: mode("0000755")}, ""), raw(Raw{Name: "d/f"}, "old"), raw(Raw{Name: "d/g", Flag: '1', Link: "d/f"}, ""), raw(Raw{Name: "s", Flag: '2', Link: "d"}, ""))},
			Want:   is{Dir("d"), File("d/f", "old"), Link("d/g", "d/f"), Symlink("s", "d")},
		},
		{
			Name: "a contiguous file", Why: "pax(1): 7 is read as 0",
			Layers: [][]byte{Archive(raw(Raw{Name: "c", Flag: '7', Magic: USTAR}, "contiguous"))},
			Want:   is{File("c", "contiguous")},
			Differ: everyone("refuses or skips the type", Kernel, OldEngine, Engine, Podman, Umoci),
		},
		{
			Name: "a PAX global header", Why: "002: not taken",
			Layers: [][]byte{append(global, Tar(t, File("a", "1"))...)},
			Want:   is{File("a", "1")},
			Differ: everyone("refuses it, or makes the directory of its name", Umoci, Engine, Podman),
		},
		{
			Name: "a size in a PAX record", Why: "pax(1), size: overrides the header's",
			Layers: [][]byte{Archive(PAX('x', "size=5"), Raw{Name: "a", Flag: '0', Magic: USTAR}.Bytes(), Pad("12345"), entries(Tar(t, File("b", "2"))))},
			Want:   is{File("a", "12345"), File("b", "2")},
		},
		{
			Name: "an archive that just ends", Why: "all readers take the end of the stream for the end of the archive",
			Layers: [][]byte{entries(Tar(t, File("a", "1")))},
			Want:   is{File("a", "1")},
		},
		{
			Name: "padding and rubbish after the end", Why: "tar: what follows two blocks of zeros does not count",
			Layers: [][]byte{append(append(Tar(t, File("a", "1")), make([]byte, 9000)...), Tar(t, File("no", ""))...)},
			Want:   is{File("a", "1")},
		},
		{
			Name: "records that engines ignore", Why: "002: other records are not taken",
			Layers: layersOf(t, l{File("a", "1").With(func(h *tar.Header) {
				h.PAXRecords = map[string]string{"comment": "x", "LIBARCHIVE.creationtime": "1", "SCHILY.acl.access": "user::rw-", "VENDOR.thing": "y"}
				h.Uname, h.Gname = "someone", "somegroup"
			})}),
			Want: is{File("a", "1")},
		},
	}
	sparseOld := map[string]map[Judge]string{"GNU": everyone("refuses the type", Kernel, OldEngine, Engine, Podman, Umoci)}
	few := Sparse{Name: "s", Size: 20_000, Offsets: []int64{0, 4096, 10_240}}
	many := Sparse{Name: "s", Size: 300_000}
	for i := range int64(60) {
		many.Offsets = append(many.Offsets, 1024+4096*i)
	}
	hole := Sparse{Name: "s", Size: 5000}
	for _, name := range slices.Sorted(maps.Keys(SparseFormats)) {
		write := SparseFormats[name]
		for what, s := range map[string]Sparse{"few pieces": few, "many pieces": many, "nothing but a hole": hole} {
			cases = append(cases, Case{
				Name: "a sparse file of " + what + ", " + name, Why: "GNU tar manual, Sparse Formats: read as the file that it stands for",
				Layers: [][]byte{Archive(write(s), entries(Tar(t, File("t", "after"))))},
				Want:   is{File("s", s.Content()), File("t", "after")},
				Differ: sparseOld[name],
			})
		}
	}
	slices.SortStableFunc(cases[len(cases)-3*len(SparseFormats):], func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return cases
}

func mode(octal string) func([]byte) { return func(h []byte) { copy(h[100:], octal) } }
