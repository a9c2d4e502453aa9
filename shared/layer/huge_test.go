package layer_test

import (
	"archive/tar"
	"bytes"
	"os"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// A header says sizes over 8 GiB, which ustar's field does not hold.
func TestHeaderOfAHugeFile(t *testing.T) {
	in := &layer.Inode{Type: layer.Regular, Mode: 0o644, Size: 9 << 30}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(in.Header("huge", "")); err != nil {
		t.Fatal(err)
	}
	h, err := tar.NewReader(&b).Next()
	if err != nil || h.Size != 9<<30 || h.Name != "huge" {
		t.Errorf("got %+v, %v", h, err)
	}
}

// All of the content is hashed, so this takes its time.
func TestScanHugeSparseFiles(t *testing.T) {
	if os.Getenv("LAYER_HUGE") == "" {
		t.Skip("set LAYER_HUGE=1")
	}
	const size = 9 << 30
	sums := map[layer.Sum]bool{}
	for name, write := range SparseFormats {
		tree := merge(t, Archive(write(Sparse{Name: "s", Size: size, Offsets: []int64{0, 5 << 30, size - 512}})))
		e, _ := tree.Lookup("s")
		if e.Inode == nil || e.Size != size {
			t.Fatalf("%s: got %+v", name, e)
		}
		sums[e.Sum] = true
	}
	if len(sums) != 1 {
		t.Errorf("the formats differ: %v", sums)
	}
}
