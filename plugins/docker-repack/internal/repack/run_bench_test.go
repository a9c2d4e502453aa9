package repack_test

import (
	"os"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
)

// BenchmarkRun is all that docker repack does, at each level: from a registry into
// another, verified. "make profile" takes from it what the compiler optimises the
// plugin for. REPACK_BENCH_IMAGE names an image to take instead of Go's own tree.
func BenchmarkRun(b *testing.B) {
	source := os.Getenv("REPACK_BENCH_IMAGE")
	if source == "" {
		source = newRegistry(b) + "/go:source"
		layer := toolchain(b, 64<<20)
		push(b, source, makeImage(b, "linux/amd64", layer))
	}
	for _, level := range repack.Levels {
		b.Run(level, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				dest := newRegistry(b) + "/go:result"
				b.StartTimer()
				r := run(b, source, dest, repack.Options{Level: level, Jobs: 2, Verify: true})
				b.ReportMetric(float64(r.Images[0].BytesAfter), "bytes/image")
			}
		})
	}
}
