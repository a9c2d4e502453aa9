package repack_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/image"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// TestTemporaryDisk bounds what temporary files take, at any moment of a run, by
// 1.1 times the compressed source. The disk is measured at each step forward that
// a run reports, and a destination takes each layer only when there is another.
func TestTemporaryDisk(t *testing.T) {
	const size, file = 24 << 20, 40_000
	bodies := map[string]func(n int) string{
		"incompressible": func(n int) string { return noise(uint64(n), file) },
		"compressible":   func(n int) string { return hex.EncodeToString([]byte(noise(uint64(n), file/2))) },
	}
	for kind, body := range bodies {
		for name, tt := range map[string]struct {
			layers int   // of the source
			target int64 // of a layer of the result
			mixed  bool  // each frame of the spool has something of each layer
			dead   bool  // the last layer deletes the half
			large  int   // every so manieth file has 300 kB; 0 for none
			twice  bool  // the last layer has all files again
		}{
			"one layer to one":       {layers: 1, target: 100 << 20},
			"one layer to many":      {layers: 1, target: 1 << 20},
			"one to many mixed":      {layers: 1, target: 1 << 20, mixed: true},
			"dead to many, mixed":    {layers: 4, target: 1 << 20, mixed: true, dead: true},
			"many to many as many":   {layers: 8, target: 3 << 20},
			"large and small, mixed": {layers: 2, target: 1 << 20, mixed: true, large: 10},
			"large and small, twice": {layers: 2, target: 2 << 20, large: 10, twice: true},
		} {
			// All ten are for long runs: what is mixed is harder if it compresses well,
			// and for what is in order it makes no difference.
			if mixed := kind == "compressible"; mixed != tt.mixed && os.Getenv("LAYER_STACKS") == "" {
				continue
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				var tars [][]byte
				var all []Entry
				count := size / file
				for l := range tt.layers {
					var entries []Entry
					for i := l; i < count; i += tt.layers {
						n := i/tt.layers + l*(count/tt.layers)
						if tt.mixed {
							n = i * 7919 % 100_003
						}
						content := body(n)
						for k := 1; tt.large > 0 && n%tt.large == 0 && k < 8; k++ {
							content += body(n + k*1_000_000)
						}
						entries = append(entries, File(fmt.Sprintf("d%05d/f", n), content))
					}
					all = append(all, entries...)
					tars = append(tars, Tar(t, entries...))
				}
				if tt.twice {
					tars = append(tars, Tar(t, all...))
				}
				if tt.dead {
					var entries []Entry
					for n := range count {
						entries = append(entries, File(fmt.Sprintf("d%05d/.wh.f", 2*n), ""))
					}
					tars = append(tars, Tar(t, entries...))
				}
				src := store(t, makeImage(t, "linux/amd64", tars...))
				tmp := t.TempDir()
				gauge := &diskGauge{dir: tmp}
				dst, err := repack.OpenDestination(t.Context(), parse(t, "oci://"+filepath.Join(t.TempDir(), "out")), image.Options{})
				if err != nil {
					t.Fatal(err)
				}
				r, err := repack.Run(t.Context(), resolve(t, parse(t, "oci://"+src)), slowDestination{dst, gauge}, repack.Options{
					TempDir: tmp, Jobs: 4, TargetSize: tt.target, Level: "fast", Verify: true, Progress: gauge,
				})
				if err != nil {
					t.Fatal(err)
				}
				im := r.Images[0]
				ratio := float64(gauge.peak) / float64(im.BytesBefore)
				t.Logf("peak %.3f of the source, %d to %d layers", ratio, im.LayersBefore, im.LayersAfter)
				if ratio > 1.1 {
					t.Errorf("temporary files took %d bytes, %.2f of the source's %d", gauge.peak, ratio, im.BytesBefore)
				}
				if gauge.peak < im.SpoolBytes/2 {
					t.Errorf("%d bytes of disk are not what a spool of %d takes", gauge.peak, im.SpoolBytes)
				}
			})
		}
	}
}

// A diskGauge measures the disk under this process's open files of a directory,
// whenever a run reports progress.
type diskGauge struct {
	dir  string
	mu   sync.Mutex
	peak int64
}

func (g *diskGauge) Step(string) progress.Step { return g }

func (g *diskGauge) Bytes(string, int64, int64)  { g.measure() }
func (g *diskGauge) Write(p []byte) (int, error) { return len(p), nil }
func (g *diskGauge) Cached()                     {}
func (g *diskGauge) Done(error)                  { g.measure() }

func (g *diskGauge) measure() {
	g.mu.Lock()
	defer g.mu.Unlock()
	fds, _ := os.ReadDir("/proc/self/fd")
	var sum int64
	for _, fd := range fds {
		name := filepath.Join("/proc/self/fd", fd.Name())
		if to, err := os.Readlink(name); err != nil || !strings.HasPrefix(to, g.dir+"/") {
			continue
		}
		var st syscall.Stat_t
		if syscall.Stat(name, &st) == nil {
			sum += st.Blocks * 512
		}
	}
	g.peak = max(g.peak, sum)
}

// A slowDestination measures before it takes a blob, and before each piece of it.
type slowDestination struct {
	repack.Destination
	gauge *diskGauge
}

func (s slowDestination) PutBlob(ctx context.Context, d v1.Descriptor, open func() (io.ReadCloser, error)) (bool, error) {
	s.gauge.measure()
	return s.Destination.PutBlob(ctx, d, open)
}
