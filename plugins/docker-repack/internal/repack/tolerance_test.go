package repack_test

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// trees is a layer of what the machine has under some directories, about most bytes
// of each, without files larger than a tenth of that.
func trees(t testing.TB, most int64, dirs ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for n, dir := range dirs {
		left := most
		add := func(path string, d fs.DirEntry, err error) error {
			if err != nil || (!d.Type().IsRegular() && !d.IsDir()) {
				return nil //nolint:nilerr // what cannot be read is left out
			}
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			h := &tar.Header{Name: fmt.Sprintf("%d/%s", n, filepath.ToSlash(name)), Typeflag: tar.TypeReg, Mode: 0o755, ModTime: time.Unix(1_700_000_000+left, 0)}
			if d.IsDir() {
				h.Typeflag = tar.TypeDir
				return w.WriteHeader(h)
			}
			data, err := os.ReadFile(path)
			if err != nil || int64(len(data)) > most/10 {
				return nil //nolint:nilerr // likewise
			}
			if left -= int64(len(data)); left < 0 {
				return fs.SkipAll
			}
			h.Size = int64(len(data))
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			_, err = w.Write(data)
			return err
		}
		if err := filepath.WalkDir(dir, add); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// toolchain is a layer of Go's sources and programs: about most bytes of each.
func toolchain(t testing.TB, most int64) []byte {
	root := runtime.GOROOT() //nolint:staticcheck // tests run by "go test"
	return trees(t, most, filepath.Join(root, "src"), filepath.Join(root, "test"), filepath.Join(root, "pkg/tool"))
}

// incompressible is files that compress hardly or by half, of many sizes.
func incompressible(t testing.TB, count int) []byte {
	var all []layertest.Entry
	for i := range count {
		body := noise(uint64(i), 100+(i*7919)%60_000)
		if i%3 == 0 {
			body = hex.EncodeToString([]byte(body))
		}
		all = append(all, layertest.File(fmt.Sprintf("n/%d/%d", i/40, i), body))
	}
	return layertest.Tar(t, all...)
}

// Layers have the target size, compressed as they really are: they are within a tenth
// of it, but for the last of a tier, which has what is left, and files that alone are
// larger. The trees are whatever the machine has, and the layers so small that single
// files matter: one and one of twenty may be off by up to a quarter.
func TestLayersHaveTheTargetSize(t *testing.T) {
	if testing.Short() {
		t.Skip("compresses 120 MB a few times")
	}
	const target, tolerance, most = 1_500_000, 0.1, 0.25
	host := newRegistry(t)
	root := runtime.GOROOT() //nolint:staticcheck // tests run by "go test"
	for name, layers := range map[string][][]byte{
		"go": {toolchain(t, 30<<20)},
		"machine": {
			trees(t, 16<<20, "/usr/lib", "/usr/share", "/usr/bin"), incompressible(t, 250),
			trees(t, 8<<20, filepath.Join(root, "src"), "/usr/include", "/etc", "/var/lib"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			push(t, host+"/"+name, makeImage(t, "linux/amd64", layers...))
			opts := repack.Options{TargetSize: target, Jobs: 2, Analyze: true, Verify: true}
			r := run(t, host+"/"+name, host+"/"+name+":out", opts)
			out := r.Analysis.Images[0].After.Layers
			if len(out) < 4 {
				t.Errorf("only %d layers", len(out))
			}
			off := 0
			for i, l := range out {
				real := float64(l.Bytes)/target - 1
				t.Logf("layer %d: %d bytes, %+.1f %% of the target, planned %+.1f %%", i, l.Bytes, 100*real, 100*(float64(l.PredictedBytes)/target-1))
				if i < 2 && real < 0 {
					continue // the two lowest are to be smaller
				}
				if l.Indivisible || (i == len(out)-1 && real < 0) {
					continue
				}
				if math.Abs(real) > tolerance {
					off++
				}
				if math.Abs(real) > most || off > 1+len(out)/20 {
					t.Errorf("layer %d of %d has %d bytes, the target is %d", i, len(out), l.Bytes, target)
				}
			}
			planned := planOf(t, host+"/"+name, opts).Images[0].After.Layers
			if d := len(planned) - len(out); d*d > (1+len(out)/10)*(1+len(out)/10) {
				t.Errorf("%d layers planned, %d made", len(planned), len(out))
			}
			for i, l := range planned {
				if share := float64(l.PredictedBytes) / target; !l.Indivisible && share > 1+tolerance {
					t.Errorf("layer %d of %d is planned with %.2f times the target", i, len(planned), share)
				}
			}
			opts.Jobs, opts.Verify = 16, false
			if again := run(t, host+"/"+name, host+"/"+name+":again", opts); again.Digest != r.Digest {
				t.Errorf("16 jobs make %s, and two %s", again.Digest, r.Digest)
			}
		})
	}
}
