package sbom_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/sbom"
)

const dpkg = `Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: libc6
Status: install ok installed
Source: glibc
Architecture: amd64
Version: 2.36-9
`

func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// debian makes an image of two layers, the second one compressed with zstd.
func debian(t *testing.T) v1.Image {
	t.Helper()
	first := tarOf(t, map[string]string{"etc/os-release": "ID=debian\nVERSION_ID=12\n", "var/lib/dpkg/status": dpkg})
	base, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(first)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	second := tarOf(t, map[string]string{"usr/lib/python3/dist-packages/demo-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.2\n"})
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := static.NewLayer(encoder.EncodeAll(second, nil), types.OCILayerZStd)
	top, err := tarball.LayerFromOpener(packed.Compressed, tarball.WithMediaType(types.OCILayerZStd))
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), base, top)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

var options = sbom.Options{Reference: "registry.test/app@sha256:" + strings.Repeat("a", 64), Created: time.Unix(1_700_000_000, 0)}

func TestGenerate(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	img := debian(t)
	doc, err := sbom.Generate(t.Context(), img, options)
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		SPDXVersion       string `json:"spdxVersion"`
		DocumentNamespace string `json:"documentNamespace"`
		CreationInfo      struct {
			Created string `json:"created"`
		} `json:"creationInfo"`
		Packages []struct {
			Name        string `json:"name"`
			VersionInfo string `json:"versionInfo"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(doc.JSON, &parsed); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range parsed.Packages {
		found[p.Name] = p.VersionInfo
	}
	if found["bash"] != "5.2.15-2+b7" || found["libc6"] != "2.36-9" || found["demo"] != "1.2" || found["removed"] != "" {
		t.Errorf("packages %v", found)
	}
	if doc.Packages != 3 || parsed.SPDXVersion != sbom.Format || parsed.CreationInfo.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("got %d packages, %+v", doc.Packages, parsed)
	}
	again, err := sbom.Generate(t.Context(), img, options)
	if err != nil || !bytes.Equal(doc.JSON, again.JSON) {
		t.Errorf("generating again gave other bytes, %v", err)
	}
	later := options
	later.Created = later.Created.Add(time.Hour)
	other, err := sbom.Generate(t.Context(), img, later)
	if err != nil || bytes.Contains(other.JSON, []byte(parsed.DocumentNamespace)) {
		t.Errorf("another document has the same namespace, %v", err)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestGenerateStops(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sbom.Generate(ctx, debian(t), options); err == nil {
		t.Error("finished although cancelled")
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
