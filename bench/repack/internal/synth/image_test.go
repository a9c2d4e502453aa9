package synth

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestImageIsOfItsSizeAndAlwaysTheSame(t *testing.T) {
	corpus := &Corpus{data: bytes.Repeat([]byte("func main() { println(1234567890) }\n"), 40_000)}
	const size = 12 << 20
	var digests []v1.Hash
	for range 2 {
		img, err := Image(size, corpus, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
		check(t, img, size)
	}
	if digests[0] != digests[1] {
		t.Errorf("two images of one size: %s and %s", digests[0], digests[1])
	}
}

func check(t *testing.T, img v1.Image, size int64) {
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	names := map[string]bool{}
	for _, l := range layers {
		n, err := l.Size()
		if err != nil {
			t.Fatal(err)
		}
		total += n
		rc, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(rc); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			names[strings.TrimSuffix(h.Name, "/")] = true
		}
		rc.Close()
	}
	if len(layers) != 2 || total < size || total > 2*size {
		t.Errorf("%d layers of %d bytes, want 2 of at least %d", len(layers), total, size)
	}
	for _, want := range []string{"opt/part00/p0000/weights.bin", "opt/part01/p0000/src/f099.txt", "opt/part00/p0000/.wh.src"} {
		if !names[want] {
			t.Errorf("there is no %s", want)
		}
	}
}

func TestReadCorpusRefusesAnEmptyDirectory(t *testing.T) {
	if _, err := ReadCorpus(t.TempDir()); err == nil {
		t.Error("no error")
	}
	if c, err := ReadCorpus(runtime.GOROOT() + "/src/go"); err != nil || len(c.data) < 1<<20 { //nolint:staticcheck // the sources of the Go that runs the test
		t.Errorf("reading Go's own sources: %v", err)
	}
}
