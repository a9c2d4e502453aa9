package repack_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/layer"
)

func newRegistry(t testing.TB) string {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// tarLayer compresses a tar stream once and quickly: under the race detector that
// is what most of the time would go to.
func tarLayer(t testing.TB, data []byte, opts ...tarball.LayerOption) v1.Layer {
	t.Helper()
	opts = append([]tarball.LayerOption{tarball.WithCompressedCaching, tarball.WithCompressionLevel(gzip.BestSpeed)}, opts...)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// makeImage makes an image for a platform out of tar streams.
func makeImage(t testing.TB, platform string, tars ...[]byte) v1.Image {
	t.Helper()
	img := empty.Image
	for _, data := range tars {
		var err error
		if img, err = mutate.Append(img, mutate.Addendum{Layer: tarLayer(t, data), History: v1.History{CreatedBy: "RUN something"}}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		t.Fatal(err)
	}
	c.OS, c.Architecture, c.Variant = p.OS, p.Architecture, p.Variant
	c.Config.Cmd = []string{"sh", "-c", "echo <hello> & bye"}
	c.Config.Labels = map[string]string{"dev.dockerfactory.manifest.id": "sha256:abc"}
	img, err = mutate.ConfigFile(img, c)
	if err != nil {
		t.Fatal(err)
	}
	return mutate.MediaType(img, types.DockerManifestSchema2)
}

func push(t testing.TB, ref string, what any) image.Reference {
	t.Helper()
	n, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	switch w := what.(type) {
	case v1.Image:
		err = remote.Write(n, w)
	case v1.ImageIndex:
		err = remote.WriteIndex(n, w)
	}
	if err != nil {
		t.Fatalf("pushing %s: %v", ref, err)
	}
	return parse(t, ref)
}

// store writes an image to a new OCI layout.
func store(t testing.TB, img v1.Image) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "app"}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func parse(t testing.TB, s string) image.Reference {
	t.Helper()
	ref, err := image.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func resolve(t testing.TB, ref image.Reference) image.Subject {
	t.Helper()
	s, err := image.Resolve(t.Context(), ref, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryRun(t testing.TB, from, to string, opts repack.Options) (*repack.Result, error) {
	t.Helper()
	opts.TempDir = t.TempDir()
	dst, err := repack.OpenDestination(t.Context(), parse(t, to), image.Options{})
	if err != nil {
		return nil, err
	}
	r, err := repack.Run(t.Context(), resolve(t, parse(t, from)), dst, opts)
	if left, _ := os.ReadDir(opts.TempDir); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
	return r, err
}

func run(t testing.TB, from, to string, opts repack.Options) *repack.Result {
	t.Helper()
	r, err := tryRun(t, from, to, opts)
	if err != nil {
		t.Fatalf("repacking %s: %v", from, err)
	}
	return r
}

func imageOf(t testing.TB, ref string) v1.Image {
	t.Helper()
	img, err := resolve(t, parse(t, ref)).Image()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// plainLayers returns the uncompressed layers of an image.
func plainLayers(t testing.TB, img v1.Image) [][]byte {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, l := range layers {
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		r, err := layer.Decompress(rc)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		rc.Close()
		out = append(out, data)
	}
	return out
}

func merged(t testing.TB, tars [][]byte) *layer.Tree {
	t.Helper()
	var sets []*layer.Changeset
	for _, data := range tars {
		set, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, set)
	}
	tree, err := layer.Merge(sets)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// copyImage copies an image or index of a registry to a layout, as it is.
func copyImage(t testing.TB, from, to string) {
	t.Helper()
	p, err := layout.Write(parse(t, to).Dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	s := resolve(t, parse(t, from))
	if s.IsIndex() {
		index, err := s.Index()
		if err == nil {
			err = p.AppendIndex(index)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	img, err := s.Image()
	if err == nil {
		err = p.AppendImage(img)
	}
	if err != nil {
		t.Fatal(err)
	}
}
