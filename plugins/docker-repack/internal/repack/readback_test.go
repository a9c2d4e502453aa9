package repack

import (
	"bytes"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// A result whose tree is right by our own reading is refused all the same if engines
// read its layers in another way.
func TestResultsThatEnginesReadInAnotherWay(t *testing.T) {
	scan := func(data []byte) *layer.Changeset {
		set, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	tmp, old := layertest.Dir("tmp"), layertest.Dir("tmp")
	tmp.Mode, old.Mode = 0o1777, 0o1777
	usual := layertest.Dir("d")
	usual.ModTime = usual.ModTime.UTC()
	for name, tt := range map[string]struct {
		layers [][]byte
		want   string
	}{
		"plain":            {[][]byte{layertest.Tar(t, tmp), layertest.Tar(t, old, layertest.File("tmp/a", ""))}, ""},
		"bare parent":      {[][]byte{layertest.Tar(t, tmp), layertest.Tar(t, layertest.File("tmp/a", ""))}, `directories of lower layers that a layer has no entry for, at "tmp"`},
		"below a symlink":  {[][]byte{layertest.Tar(t, layertest.Dir("b"), layertest.Symlink("a", "b")), layertest.Tar(t, layertest.File("a/x", ""))}, "entries below symlinks"},
		"link to below":    {[][]byte{layertest.Tar(t, layertest.File("a", "")), layertest.Tar(t, layertest.Link("b", "a"))}, "hard links to files of lower layers"},
		"removed and made": {[][]byte{layertest.Tar(t, layertest.Dir("d"), layertest.File("d/a", "")), layertest.Tar(t, layertest.File(".wh.d", ""), layertest.Dir("d"))}, "removes and has"},
		"twice":            {[][]byte{layertest.Tar(t, layertest.File("a", ""), layertest.File("a", ""))}, "two entries"},
		"not listed":       {[][]byte{layertest.Tar(t, layertest.File("d/a", ""))}, `no layer has an entry for the directory "d"`},
	} {
		var sets, same []*layer.Changeset
		for _, data := range tt.layers {
			sets, same = append(sets, scan(data)), append(same, scan(data))
		}
		if name == "not listed" {
			same = append(same, scan(layertest.Tar(t, usual)))
		}
		want, err := layer.Merge(same)
		if err != nil {
			t.Fatal(err)
		}
		layers := make([]*stored, len(sets))
		for i := range layers {
			layers[i] = &stored{written: &written{}}
		}
		if _, err := mergeBack(sets, layers, want); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
