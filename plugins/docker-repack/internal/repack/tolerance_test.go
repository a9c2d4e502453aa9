package repack_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
)

// toolchain is a layer of Go's sources, documentation and programs, the same
// wherever the same Go is installed: about most bytes of each.
func toolchain(t testing.TB, most int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	root := runtime.GOROOT() //nolint:staticcheck // tests run by "go test"
	for _, dir := range []string{"src", "test", "pkg/tool"} {
		left := most
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil || int64(len(data)) > most/2 {
				return err
			}
			if left -= int64(len(data)); left < 0 {
				return fs.SkipAll
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}); err != nil {
				return err
			}
			_, err = w.Write(data)
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Layers have the target size, compressed as they are in the end: all but the two
// lowest, which are to have thirds of it, and the last one, which has what is left, are
// planned within a tenth of it, and come out within an eighth. That is so where content
// is alike, as here; docs/design/007-layer-planning.md tells how far estimates are
// off elsewhere. This keeps them from becoming worse.
func TestLayersHaveTheTargetSize(t *testing.T) {
	if testing.Short() {
		t.Skip("compresses 40 MB a few times")
	}
	const target, tolerance = 2_000_000, 0.125
	host := newRegistry(t)
	push(t, host+"/go", makeImage(t, "linux/amd64", toolchain(t, 20<<20)))
	r := run(t, host+"/go", host+"/go:out", repack.Options{TargetSize: target, Jobs: 2, Analyze: true})
	layers := r.Analysis.Images[0].After.Layers
	if len(layers) < 4 {
		t.Errorf("only %d layers", len(layers))
	}
	for i, l := range layers {
		want := target * min(float64(i+1)/3, 1)
		planned, real := float64(l.PredictedBytes)/want-1, float64(l.Bytes)/want-1
		t.Logf("layer %d: %d bytes, %+.1f %% of its target, planned %+.1f %%", i, l.Bytes, 100*real, 100*planned)
		if l.Indivisible || (i == len(layers)-1 && planned < 0) {
			continue
		}
		if math.Abs(planned) > 0.1 {
			t.Errorf("layer %d of %d is planned with %d bytes, its target is %.0f", i, len(layers), l.PredictedBytes, want)
		}
		if math.Abs(real) > tolerance {
			t.Errorf("layer %d of %d has %d bytes, its target is %.0f", i, len(layers), l.Bytes, want)
		}
	}
}
