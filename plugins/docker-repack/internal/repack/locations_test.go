package repack_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// A place is a kind of reference that the conformance suite below is run with. What
// it checks is what every kind of source and destination has to do.
type place struct {
	// ref is a new reference, with a tag or name.
	ref     func(t *testing.T, tag string) string
	access  image.Options
	keeps   bool // manifests bit for bit: the digest is the same when read again
	indexes bool // holds more than one platform
}

func places(t *testing.T) map[string]place {
	return map[string]place{
		"registry": {ref: func(t *testing.T, tag string) string { return newRegistry(t) + "/app:" + tag }, keeps: true, indexes: true},
		"oci":      {ref: func(t *testing.T, tag string) string { return "oci://" + t.TempDir() + "/layout:" + tag }, keeps: true, indexes: true},
		"oci-archive": {
			ref: func(t *testing.T, tag string) string { return "oci-archive://" + t.TempDir() + "/f.tar:" + tag }, keeps: true, indexes: true,
		},
		"docker-archive": {
			ref:   func(t *testing.T, tag string) string { return "docker-archive://" + t.TempDir() + "/f.tar:app:" + tag },
			keeps: true, indexes: true,
		},
		"docker-daemon": {
			ref:    func(_ *testing.T, tag string) string { return "docker-daemon://app:" + tag },
			access: image.Options{Engine: newEngine(t, true)}, keeps: true, indexes: true,
		},
		"old docker-daemon": {
			ref:    func(_ *testing.T, tag string) string { return "docker-daemon://app:" + tag },
			access: image.Options{Engine: newEngine(t, false)},
		},
	}
}

func TestPlaces(t *testing.T) {
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) { testPlace(t, p) })
	}
}

// testPlace is the conformance suite.
func testPlace(t *testing.T, p place) {
	src := newRegistry(t)
	one := makeImage(t, "linux/amd64", Tar(t, Dir("d"), File("d/a", "1"), File("n", noise(1, 1_200_000))), Tar(t, File("d/.wh.a", ""), File("b", noise(2, 1_200_000))))
	push(t, src+"/one", one)
	push(t, src+"/two", indexOf(t, one, makeImage(t, "linux/arm64", Tar(t, File("arm", "64")))))
	open := func(t *testing.T, ref string) image.Subject {
		t.Helper()
		s, err := image.Resolve(t.Context(), parse(t, ref), p.access)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	repackTo := func(t *testing.T, from, to string, opts repack.Options) (*repack.Result, error) {
		t.Helper()
		opts.TempDir = t.TempDir()
		access := p.access
		access.TempDir = opts.TempDir
		dst, err := repack.OpenDestination(t.Context(), parse(t, to), access)
		if err != nil {
			return nil, err
		}
		r, err := repack.Run(t.Context(), open(t, from), dst, opts)
		if left, _ := os.ReadDir(opts.TempDir); len(left) > 0 {
			t.Errorf("temporary files left: %v", left)
		}
		return r, err
	}
	equal := func(t *testing.T, a, b string) {
		t.Helper()
		c, err := repack.Compare(t.Context(), open(t, a), open(t, b), repack.Options{Jobs: 2})
		if err != nil || !c.Equal {
			t.Errorf("%s and %s: %+v, %v", a, b, c, err)
		}
	}

	t.Run("an image there and back", func(t *testing.T) {
		there, back := p.ref(t, "1"), src+"/back"
		r, err := repackTo(t, src+"/one", there, repack.Options{TargetSize: repack.MinTargetSize, Verify: true, Jobs: 3})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Images[0].Verified || r.Images[0].LayersAfter < 2 || r.Images[0].BytesSent != r.Images[0].BytesAfter {
			t.Errorf("got %+v", r.Images[0])
		}
		equal(t, src+"/one", there)
		s := open(t, there)
		if p.keeps && s.Descriptor.Digest.String() != r.Digest {
			t.Errorf("read again it is %s, written it was %s", s.Descriptor.Digest, r.Digest)
		}
		if p.keeps && !strings.Contains(s.Canonical(), r.Digest) {
			t.Errorf("canonical %s", s.Canonical())
		}
		img, err := s.Image()
		if err != nil {
			t.Fatal(err)
		}
		if c, err := img.ConfigFile(); err != nil || c.Architecture != "amd64" || len(c.History) == 0 {
			t.Errorf("config %+v, %v", c, err)
		}
		if _, err := repackTo(t, there, back, repack.Options{Verify: true}); err != nil {
			t.Fatal(err)
		}
		equal(t, src+"/one", back)
	})
	t.Run("an index", func(t *testing.T) {
		there := p.ref(t, "2")
		r, err := repackTo(t, src+"/two", there, repack.Options{Verify: true, Jobs: 2})
		if err != nil {
			t.Fatal(err)
		}
		if !p.indexes {
			if len(r.Images) != 1 || r.Images[0].Platform != "linux/amd64" {
				t.Errorf("got %+v", r.Images)
			}
			_, err := repackTo(t, src+"/two", there, repack.Options{Platforms: []image.PlatformPattern{"linux/*"}})
			if err == nil || !strings.Contains(fault.HintOf(err), "--platform linux/amd64") {
				t.Errorf("got %v, hint %q", err, fault.HintOf(err))
			}
			return
		}
		equal(t, src+"/two", there)
		if s := open(t, there); len(r.Images) != 2 || !s.IsIndex() || s.Descriptor.Digest.String() != r.Digest {
			t.Errorf("got %+v, then %+v", r, s.Descriptor)
		}
	})
	t.Run("nothing has the name if the work stops", func(t *testing.T) {
		there := p.ref(t, "stopped")
		access := p.access
		access.TempDir = t.TempDir()
		dst, err := repack.OpenDestination(t.Context(), parse(t, there), access)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := repack.Run(ctx, open(t, src+"/one"), cancelAtManifest{dst, cancel}, repack.Options{TempDir: t.TempDir()}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := image.Resolve(t.Context(), parse(t, there), p.access); err == nil {
			t.Error("something is there")
		}
		if left, _ := os.ReadDir(access.TempDir); len(left) > 0 {
			t.Errorf("temporary files left: %v", left)
		}
	})
	t.Run("what is not there", func(t *testing.T) {
		_, err := image.Resolve(t.Context(), parse(t, p.ref(t, "none")), p.access)
		if err == nil || !strings.Contains(err.Error(), "resolving ") {
			t.Errorf("got %v", err)
		}
	})
}

// The bytes of an archive do not depend on the order in which layers are ready.
func TestArchivesAreReproducible(t *testing.T) {
	dir := store(t, makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 3_000_000)), File("b", noise(2, 3_000_000)), File("c", noise(3, 3_000_000)))))
	for _, kind := range []string{"oci-archive", "docker-archive"} {
		var first []byte
		for _, jobs := range []int{1, 2, 8} {
			to := filepath.Join(t.TempDir(), "f.tar")
			run(t, "oci://"+dir, kind+"://"+to+":app", repack.Options{TargetSize: repack.MinTargetSize, Jobs: jobs})
			data, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = data
			} else if !bytes.Equal(first, data) {
				t.Errorf("%s: another file with %d jobs", kind, jobs)
			}
		}
	}
}

// What engines before Docker 25 read: manifest.json, its config and its layers.
func TestDockerArchiveForOldEngines(t *testing.T) {
	dir := store(t, makeImage(t, "linux/amd64", Tar(t, File("a", "1"))))
	to := filepath.Join(t.TempDir(), "f.tar")
	run(t, "oci://"+dir, "docker-archive://"+to+":host.test/app:1", repack.Options{})
	entries := readTar(t, to)
	var m []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(entries["manifest.json"], &m); err != nil {
		t.Fatal(err)
	}
	if len(m) != 1 || !slices.Equal(m[0].RepoTags, []string{"host.test/app:1"}) || len(m[0].Layers) != 1 {
		t.Fatalf("manifest.json %+v", m)
	}
	if !bytes.HasPrefix(entries[m[0].Layers[0]], []byte{0x1f, 0x8b}) || !json.Valid(entries[m[0].Config]) {
		t.Errorf("the layer is no gzip, or the config no JSON")
	}
	if raw := entries["index.json"]; !bytes.Contains(raw, []byte(`"io.containerd.image.name":"host.test/app:1"`)) {
		t.Errorf("index.json %s", raw)
	}
}

func readTar(t *testing.T, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestArchiveDestinations(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f.tar")
	for _, bad := range []string{"oci-archive://" + dir, "docker-archive://" + dir + "/no/f.tar", "oci-archive:///dev/null", "docker-daemon://sha256:" + strings.Repeat("0", 64), "docker-daemon://app"} {
		if _, err := repack.OpenDestination(t.Context(), parse(t, bad), image.Options{}); err == nil {
			t.Errorf("%s can be opened", bad)
		}
	}
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, dir+"/link.tar"); err != nil {
		t.Fatal(err)
	}
	for to, ok := range map[string]bool{"oci-archive://" + file: false, "docker-archive://" + dir + "/link.tar": false, "oci-archive://" + dir + "/new.tar": true, "oci://" + dir: true} {
		if err := repack.CheckPair(parse(t, "docker-archive://"+file), parse(t, to)); (err == nil) != ok {
			t.Errorf("to %s: %v", to, err)
		}
	}
	if err := repack.CheckPair(parse(t, "docker-archive://"+dir+"/none.tar"), parse(t, "oci-archive://"+file)); err != nil {
		t.Error(err)
	}
	for in, want := range map[string]string{
		"oci-archive://a/f.tar:1":         "oci-archive://a/f-repacked.tar:1",
		"docker-archive://f.tgz":          "docker-archive://f-repacked.tar",
		"docker-archive://f:app:1":        "docker-archive://f-repacked:app:1",
		"docker-daemon://host.test/app:1": "docker-daemon://host.test/app:1-repacked",
	} {
		if got, err := repack.DefaultDestination(parse(t, in)); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v", in, got, err)
		}
	}
}

// Engines take zstd since Docker 23, which is not asked for gzip.
func TestOldEngineReadsNoZstd(t *testing.T) {
	dst, err := repack.OpenDestination(t.Context(), parse(t, "docker-daemon://app"), image.Options{Engine: newEngine(t, false), TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = repack.Run(t.Context(), resolve(t, parse(t, "oci://"+store(t, makeImage(t, "linux/amd64")))), dst, repack.Options{Compression: "zstd"})
	if err == nil || fault.HintOf(err) != "choose another: --compression gzip" {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
}

// A layout that another run has begun, and perhaps not ended, can be written to.
func TestLayoutThatWasBegun(t *testing.T) {
	from := resolve(t, parse(t, "oci://"+store(t, makeImage(t, "linux/amd64", Tar(t, File("a", ""))))))
	dir := t.TempDir()
	if _, err := repack.Run(t.Context(), from, unpublished{must(repack.OpenDestination(t.Context(), parse(t, "oci://"+dir), image.Options{}))}, repack.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	dst, err := repack.OpenDestination(t.Context(), parse(t, "oci://"+dir), image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repack.Run(t.Context(), from, dst, repack.Options{}); err != nil {
		t.Fatal(err)
	}
	imageOf(t, "oci://"+dir)
}

// Who write to one layout at the same time take nothing from each other.
func TestLayoutOfSeveralWriters(t *testing.T) {
	const writers = 12
	from := resolve(t, parse(t, "oci://"+store(t, makeImage(t, "linux/amd64", Tar(t, File("a", ""))))))
	dir := t.TempDir()
	open := func(tag string) repack.Destination {
		return must(repack.OpenDestination(t.Context(), parse(t, "oci://"+dir+":"+tag), image.Options{}))
	}
	var wait sync.WaitGroup
	for i := range writers {
		dst := open(fmt.Sprint(i))
		wait.Go(func() {
			if _, err := repack.Run(t.Context(), from, dst, repack.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i := range writers {
		imageOf(t, fmt.Sprintf("oci://%s:%d", dir, i))
	}

	// One that stops leaves what another one has listed; if it comes first, the other
	// one does not list what is gone.
	other := resolve(t, parse(t, "oci://"+store(t, makeImage(t, "linux/amd64", Tar(t, File("b", ""))))))
	for _, stops := range []string{"after", "before"} {
		dir = t.TempDir()
		first, second := open("first"), open("second")
		if _, err := repack.Run(t.Context(), other, unpublished{first}, repack.Options{}); err != nil {
			t.Fatal(err)
		}
		if stops == "before" {
			_, err := repack.Run(t.Context(), other, abortBefore{second, first.Abort}, repack.Options{})
			if err == nil || !strings.Contains(fault.HintOf(err), "run the command again") {
				t.Errorf("got %v", err)
			}
			continue
		}
		if _, err := repack.Run(t.Context(), other, second, repack.Options{}); err != nil {
			t.Fatal(err)
		}
		first.Abort()
		plainLayers(t, imageOf(t, "oci://"+dir+":second"))
	}
}

type unpublished struct{ repack.Destination }

func (unpublished) Publish(context.Context, v1.Descriptor, []byte) error { return nil }

// abortBefore aborts another destination before it publishes.
type abortBefore struct {
	repack.Destination
	abort func()
}

func (a abortBefore) Publish(ctx context.Context, d v1.Descriptor, raw []byte) error {
	a.abort()
	return a.Destination.Publish(ctx, d, raw)
}

// An engine that holds one image gets of several variants the one that it would pull.
func TestOneVariantForAnEngine(t *testing.T) {
	host := newRegistry(t)
	variants := func(arch string, names ...string) string {
		var images []v1.Image
		for _, v := range names {
			images = append(images, makeImage(t, strings.TrimSuffix("linux/"+arch+"/"+v, "/"), Tar(t, File("variant", v))))
		}
		push(t, host+"/"+arch, indexOf(t, images...))
		return host + "/" + arch
	}
	for _, tt := range []struct{ from, engine, asked, want string }{
		{variants("arm", "v5", "v7", "v6"), "arm", "", "linux/arm/v7"},
		{host + "/arm", "arm", "linux/arm", "linux/arm/v7"},
		{host + "/arm", "arm", "linux/arm/v6", "linux/arm/v6"},
		{host + "/arm", "amd64", "linux/arm", "linux/arm/v7"},
		{variants("amd64", "v3", "", "v2"), "amd64", "", "linux/amd64"},
	} {
		e := newEngine(t, false)
		e.arch = tt.engine
		dst, err := repack.OpenDestination(t.Context(), parse(t, "docker-daemon://app"), image.Options{Engine: e, TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		var opts repack.Options
		if tt.asked != "" {
			opts.Platforms = []image.PlatformPattern{image.PlatformPattern(tt.asked)}
		}
		r, err := repack.Run(t.Context(), resolve(t, parse(t, tt.from)), dst, opts)
		if err != nil || len(r.Images) != 1 || r.Images[0].Platform != tt.want {
			t.Errorf("%+v: got %+v, %v", tt, r, err)
		}
	}
}
