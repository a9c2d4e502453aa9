package repack_test

import (
	"os"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestHugeFile repacks a file that ustar has no size for, with other files after
// it: a reader that takes the size from the header alone would lose its way.
func TestHugeFile(t *testing.T) {
	if os.Getenv("LAYER_HUGE") == "" {
		t.Skip("set LAYER_HUGE=1")
	}
	const size = 9 << 30
	host := newRegistry(t)
	huge := Archive(SparseFormats["PAX 1.0"](Sparse{Name: "huge", Size: size, Offsets: []int64{0, 5 << 30, size - 512}}))
	push(t, host+"/app", makeImage(t, "linux/amd64", huge, Tar(t, File("after", "1"))))
	r := run(t, host+"/app", host+"/app:out", repack.Options{Level: "fast", Jobs: 2, Verify: true})
	if i := r.Images[0]; !i.Verified || i.FileBytes != size+1 || i.BytesAfter > 10_000_000 || i.SpoolBytes > 10_000_000 {
		t.Errorf("got %+v", i)
	}
}
