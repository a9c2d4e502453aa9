package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// An entry of a tar file; of a link, text is where it leads.
type entry struct {
	name, text string
	link       byte
}

func writeTar(t *testing.T, entries ...entry) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := tar.Header{Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(e.text)), Mode: 0o600}
		if e.link != 0 {
			h = tar.Header{Typeflag: e.link, Name: e.name, Linkname: e.text}
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if e.link == 0 {
			io.WriteString(w, e.text)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, b.Bytes())
}

func writeFile(t *testing.T, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.tar")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func resolve(t *testing.T, s string) (image.Subject, error) {
	t.Helper()
	ref, err := image.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	subject, err := image.Resolve(t.Context(), ref, image.Options{TempDir: dir})
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("temporary files have names: %v", left)
	}
	t.Cleanup(func() { subject.Close() })
	return subject, err
}

// sameImage demands that the image at ref has the same config, and the layers that
// it names.
func sameImage(t *testing.T, want v1.Image, ref string) {
	t.Helper()
	s, err := resolve(t, ref)
	if err != nil {
		t.Fatalf("%s: %v, hint %q", ref, err, fault.HintOf(err))
	}
	img, err := s.Image()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil || len(layers) != len(config.RootFS.DiffIDs) {
		t.Fatalf("%s: %d layers, %v", ref, len(layers), err)
	}
	for i, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := v1.SHA256(r)
		r.Close()
		if err != nil || got != config.RootFS.DiffIDs[i] {
			t.Errorf("%s: layer %d is %s, %v", ref, i, got, err)
		}
	}
	a, _ := want.ConfigName()
	if b, err := img.ConfigName(); err != nil || a != b {
		t.Errorf("%s: config %s, want %s (%v)", ref, b, a, err)
	}
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(2000, 3)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// The format before Docker 25, as crane writes it, with gzip, and as docker did, plain
// and with links for layers that are there twice.
func TestClassicDockerArchive(t *testing.T) {
	one, two := randomImage(t), randomImage(t)
	file := filepath.Join(t.TempDir(), "crane.tar")
	tags := map[name.Tag]v1.Image{}
	for s, img := range map[string]v1.Image{"app:1": one, "host.test/app:2": two} {
		tag, err := name.NewTag(s)
		if err != nil {
			t.Fatal(err)
		}
		tags[tag] = img
	}
	if err := tarball.MultiWriteToFile(file, tags); err != nil {
		t.Fatal(err)
	}
	sameImage(t, one, "docker-archive://"+file+":app:1")
	sameImage(t, two, "docker-archive://"+file+":host.test/app:2")
	for ref, hint := range map[string]string{"": "name one, docker-archive://", ":app:3": "it has: "} {
		if _, err := resolve(t, "docker-archive://"+file+ref); err == nil || !strings.Contains(fault.HintOf(err), hint) || !strings.Contains(fault.HintOf(err), "app:1") {
			t.Errorf("%q: got %v, hint %q", ref, err, fault.HintOf(err))
		}
	}
	s, err := resolve(t, "docker-archive://"+file+":app:1")
	if err != nil {
		t.Fatal(err)
	}
	sameImage(t, one, s.Canonical())
	if _, err := resolve(t, "oci-archive://"+file); err == nil || fault.HintOf(err) != "it is what docker save writes: docker-archive://"+file {
		t.Errorf("as a layout: %v, hint %q", err, fault.HintOf(err))
	}

	classic := classicArchive(t, one)
	sameImage(t, one, "docker-archive://"+writeTar(t, classic...))
	data, err := os.ReadFile(writeTar(t, classic...))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data)
	z.Close()
	sameImage(t, one, "docker-archive://"+writeFile(t, packed.Bytes()))
}

// classicArchive has one layer behind a chain of links and the others plain.
func classicArchive(t *testing.T, img v1.Image) []entry {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	out := []entry{{"./c.json", string(config), 0}}
	var names []string
	for i, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, entry{fmt.Sprintf("%d/layer.tar", i), string(data), 0})
		names = append(names, fmt.Sprintf("%d/layer.tar", i))
	}
	out = append(out, entry{"a/layer.tar", "../0/layer.tar", tar.TypeSymlink}, entry{"b/layer.tar", "a/layer.tar", tar.TypeLink})
	names[0] = "b/layer.tar"
	list, err := json.Marshal([]map[string]any{{"Config": "c.json", "RepoTags": []string{"app:1"}, "Layers": names}})
	if err != nil {
		t.Fatal(err)
	}
	return append(out, entry{"manifest.json", string(list), 0})
}

func layoutArchive(t *testing.T, images map[string]v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for tag, img := range images {
		if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return writeFile(t, b.Bytes())
}

func TestOCIArchive(t *testing.T) {
	one, two := randomImage(t), randomImage(t)
	file := layoutArchive(t, map[string]v1.Image{"1": one, "2": two})
	for _, kind := range []string{"oci-archive://", "docker-archive://"} {
		digest, _ := two.Digest()
		sameImage(t, two, kind+file+"@"+digest.String())
	}
	sameImage(t, one, "oci-archive://"+file+":1")
	if _, err := resolve(t, "oci-archive://"+file); err == nil || !strings.Contains(fault.HintOf(err), ":TAG: ") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
	// The same image under two names is no choice.
	sameImage(t, one, "oci-archive://"+layoutArchive(t, map[string]v1.Image{"1": one, "2": one}))
}

func TestArchivesThatAreNone(t *testing.T) {
	whole, err := os.ReadFile(layoutArchive(t, map[string]v1.Image{"1": randomImage(t)}))
	if err != nil {
		t.Fatal(err)
	}
	classic := classicArchive(t, randomImage(t))
	list := classic[len(classic)-1].text
	without := func(name string) []entry {
		var out []entry
		for _, e := range classic {
			if e.name != name {
				out = append(out, e)
			}
		}
		return out
	}
	for what, tt := range map[string]struct{ file, text string }{
		"empty":           {writeFile(t, nil), "it is empty, or no tar file"},
		"no tar":          {writeFile(t, bytes.Repeat([]byte("junk"), 1000)), "invalid tar header"},
		"truncated":       {writeFile(t, whole[:len(whole)-3000]), "reading the archive"},
		"in a content":    {writeFile(t, whole[:1000]), "reading the archive"},
		"truncated gzip":  {writeFile(t, gzipped(t, whole)[:1000]), "unexpected EOF"},
		"nothing in it":   {writeTar(t, entry{"hello", "x", 0}), "no docker archive"},
		"list is no JSON": {writeTar(t, entry{"manifest.json", "{", 0}), "parsing manifest.json"},
		"list is empty":   {writeTar(t, entry{"manifest.json", "[]", 0}), "the archive is empty"},
		"index no JSON":   {writeTar(t, entry{"index.json", "{", 0}), "parsing index.json"},
		"no config":       {writeTar(t, without("./c.json")...), "reading config"},
		"no layer":        {writeTar(t, without("1/layer.tar")...), "reading layer 1, 1/layer.tar"},
		"layers too few":  {writeTar(t, append(without("manifest.json"), entry{"manifest.json", strings.Replace(list, `,"1/layer.tar"`, "", 1), 0})...), "malformed"},
		"circle":          {writeTar(t, entry{"manifest.json", "x", tar.TypeSymlink}, entry{"x", "manifest.json", tar.TypeSymlink}), "no docker archive"},
		"out of it":       {writeTar(t, entry{"manifest.json", "../../../../../../etc/passwd", tar.TypeSymlink}), "no docker archive"},
		"too much":        {writeTar(t, entry{"manifest.json", strings.Repeat(" ", image.MaxDocument+1), 0}), "are more than the"},
	} {
		if _, err := resolve(t, "docker-archive://"+tt.file); err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %q", what, err, tt.text)
		}
	}
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A layout's links do not lead out of its directory.
func TestLayoutIsConfined(t *testing.T) {
	outside := writeFile(t, []byte(`{"schemaVersion":2,"manifests":[]}`))
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := resolve(t, "oci://"+dir); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("got %v", err)
	}
}

// Documents that are not what their digests say are refused wherever they lie.
func TestDocumentsAreVerified(t *testing.T) {
	img := randomImage(t)
	digest, _ := img.Digest()
	config, _ := img.ConfigName()
	for _, h := range []v1.Hash{digest, config} {
		dir := t.TempDir()
		p, err := layout.Write(dir, empty.Index)
		if err == nil {
			err = p.AppendImage(img)
		}
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "blobs", h.Algorithm, h.Hex)
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, bytes.Replace(raw, []byte(":"), []byte(": "), 1)[:len(raw)], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := resolve(t, "oci://"+dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Image()
		if err == nil {
			_, err = partial.ConfigFile(got)
		}
		if err == nil || !strings.Contains(err.Error(), "and should be "+h.String()) {
			t.Errorf("got %v", err)
		}
	}
}

func TestNoEngine(t *testing.T) {
	if _, err := resolve(t, "docker-daemon://app"); !errors.Is(err, image.ErrNoEngine) {
		t.Errorf("got %v", err)
	}
}
