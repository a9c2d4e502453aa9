package layer_test

import (
	"archive/tar"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// BenchmarkMemory is what a layer of small files takes, per entry: as a changeset,
// merged, when the changeset is gone, and as a changeset like the tree that is there.
func BenchmarkMemory(b *testing.B) {
	const entries = 100_000
	for b.Loop() {
		before := heap()
		set, err := layer.Scan(b.Context(), smallFiles(entries), layer.Options{})
		if err != nil {
			b.Fatal(err)
		}
		scanned := heap()
		tree, err := layer.Merge([]*layer.Changeset{set})
		if err != nil {
			b.Fatal(err)
		}
		both := heap()
		runtime.KeepAlive(set)
		merged := heap()
		b.ReportMetric((scanned-before)/entries, "B/entry-scanned")
		b.ReportMetric((both-before)/entries, "B/entry-both")
		b.ReportMetric((merged-before)/entries, "B/entry-merged")
		back, err := layer.Scan(b.Context(), smallFiles(entries), layer.Options{Like: tree})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((heap()-merged)/entries, "B/entry-like")
		runtime.KeepAlive(tree)
		runtime.KeepAlive(back)
	}
}

// smallFiles is the tar stream of so many empty files.
func smallFiles(entries int) io.Reader {
	r, w := io.Pipe()
	go func() {
		t := tar.NewWriter(w)
		for i := range entries {
			if err := t.WriteHeader(&tar.Header{Name: fmt.Sprintf("node_modules/package-%04d/lib/some-file-name-%d.js", i/50, i), Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
				w.CloseWithError(err)
				return
			}
		}
		w.CloseWithError(t.Close())
	}()
	return r
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
