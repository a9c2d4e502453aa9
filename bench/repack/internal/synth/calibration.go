package synth

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// What the images for calibration have.
const (
	CalibrationLayers  = 9
	CalibrationBytes   = 64 << 20
	CalibrationEntries = 10_000

	smallFile = 512
)

// Calibration makes images that differ in one thing each, by which it can be told
// what an engine takes for a layer, an entry and a byte: "one" small layer,
// CalibrationLayers small "layers", CalibrationEntries small "entries", and
// CalibrationBytes in a few files as "zstd" and "gzip". Seed makes them others.
func Calibration(corpus *Corpus, seed uint64) (map[string]v1.Image, error) {
	random := rand.New(rand.NewPCG(seed, 7))
	var layers [][]file
	for i := range CalibrationLayers {
		layers = append(layers, []file{{fmt.Sprint(i), corpus.text(random, smallFile)}})
	}
	var entries, large []file
	for i := range CalibrationEntries {
		entries = append(entries, file{fmt.Sprintf("%d/%d", i/100, i), corpus.text(random, smallFile)})
	}
	for i := range 16 {
		large = append(large, file{fmt.Sprint(i), corpus.text(random, CalibrationBytes/16)})
	}
	out := map[string]v1.Image{}
	for name, what := range map[string]struct {
		layers [][]file
		how    compression.Compression
	}{
		"one": {layers[:1], compression.ZStd}, "layers": {layers, compression.ZStd}, "entries": {[][]file{entries}, compression.ZStd},
		"zstd": {[][]file{large}, compression.ZStd}, "gzip": {[][]file{large}, compression.GZip},
	} {
		img, err := imageOf(what.layers, what.how)
		if err != nil {
			return nil, fmt.Errorf("making the image %q: %w", name, err)
		}
		out[name] = img
	}
	return out, nil
}

type file struct {
	name    string
	content []byte
}

func imageOf(layers [][]file, how compression.Compression) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, err
	}
	mediaType := types.OCILayer
	if how == compression.ZStd {
		mediaType = types.OCILayerZStd
	}
	for _, files := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, f := range files {
			if err := w.WriteHeader(&tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.content)), ModTime: epoch}); err != nil {
				return nil, err
			}
			if _, err := w.Write(f.content); err != nil {
				return nil, err
			}
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
			tarball.WithCompression(how), tarball.WithMediaType(mediaType), tarball.WithCompressedCaching)
		if err != nil {
			return nil, err
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: mediaType}); err != nil {
			return nil, err
		}
	}
	return img, nil
}
