// Package synth makes images of any size that behave like real ones: weights that
// hardly compress, sources that compress well, many small files, copies, and
// files that a later layer removes or changes.
package synth

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	kgzip "github.com/klauspost/compress/gzip"
)

// layerSize is about what one layer of an image takes, compressed.
const layerSize = 250 << 20

// epoch of everything in the images.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Image makes an image of about size bytes, compressed. Of one size, and one set
// of sources, it is always the same. Its layers are kept in files below dir.
func Image(size int64, corpus *Corpus, dir string) (v1.Image, error) {
	n := max(2, int((size+layerSize/2)/layerSize))
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("making an image: %w", err)
	}
	config.OS, config.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, fmt.Errorf("making an image: %w", err)
	}
	for i := range n {
		path, err := writeLayer(dir, i, size/int64(n), corpus)
		if err != nil {
			return nil, fmt.Errorf("making layer %d: %w", i, err)
		}
		l, err := tarball.LayerFromFile(path, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, fmt.Errorf("making layer %d: %w", i, err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: types.OCILayer, History: v1.History{CreatedBy: "synth", Created: v1.Time{Time: epoch}}}); err != nil {
			return nil, fmt.Errorf("making layer %d: %w", i, err)
		}
	}
	return img, nil
}

func writeLayer(dir string, i int, size int64, corpus *Corpus) (path string, err error) {
	f, err := os.CreateTemp(dir, "layer-*.tar.gz")
	if err != nil {
		return "", err
	}
	defer f.Close()
	packed := &counter{w: bufio.NewWriterSize(f, 1<<20)}
	zw, err := kgzip.NewWriterLevel(packed, gzip.BestSpeed)
	if err != nil {
		return "", err
	}
	w := &writer{tar: tar.NewWriter(zw), random: rand.New(rand.NewPCG(uint64(i), 7)), corpus: corpus, prefix: fmt.Sprintf("opt/part%02d", i)}
	for packed.n < size {
		if err := w.part(); err != nil {
			return "", err
		}
	}
	if i > 0 {
		// What the layer below left is half removed.
		if err := w.file(fmt.Sprintf("opt/part%02d/p0000/.wh.src", i-1), nil); err != nil {
			return "", err
		}
	}
	for _, step := range []func() error{w.tar.Close, zw.Close, packed.w.Flush} {
		if err := step(); err != nil {
			return "", err
		}
	}
	return f.Name(), nil
}

type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

type writer struct {
	tar    *tar.Writer
	random *rand.Rand
	corpus *Corpus
	prefix string
	parts  int
	copied []byte // a file that comes again in every part
}

// part writes a directory with 4 MB of weights, about 3 MB of sources in a
// hundred files, and a copy of a file that others have too.
func (w *writer) part() error {
	dir := fmt.Sprintf("%s/p%04d", w.prefix, w.parts)
	w.parts++
	for _, d := range []string{dir, dir + "/src"} {
		if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: 0o755, ModTime: epoch}); err != nil {
			return err
		}
	}
	if err := w.file(dir+"/weights.bin", w.weights(4<<20)); err != nil {
		return err
	}
	for i := range 100 {
		text := w.corpus.text(w.random, 500+w.random.IntN(60_000))
		if err := w.file(fmt.Sprintf("%s/src/f%03d.txt", dir, i), text); err != nil {
			return err
		}
	}
	if w.copied == nil {
		w.copied = w.weights(256 << 10)
	}
	return w.file(dir+"/vendored.bin", w.copied)
}

// weights are normally distributed 32-bit numbers whose lower bits are rounded
// off, as trained models have them.
func (w *writer) weights(n int) []byte {
	out := make([]byte, 0, n)
	for len(out) < n {
		bits := math.Float32bits(float32(w.random.NormFloat64() * 0.02))
		out = append(out, 0, byte(bits>>8)&0xf0, byte(bits>>16), byte(bits>>24))
	}
	return out
}

func (w *writer) file(name string, content []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: epoch}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.tar.Write(content)
	return err
}
