package repack_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// withConfig is an image with other bytes for its config.
type withConfig struct {
	v1.Image
	raw []byte
}

func (w withConfig) RawConfigFile() ([]byte, error)      { return w.raw, nil }
func (w withConfig) ConfigFile() (*v1.ConfigFile, error) { return partial.ConfigFile(w) }
func (w withConfig) ConfigName() (v1.Hash, error)        { return partial.ConfigName(w) }
func (w withConfig) RawManifest() ([]byte, error)        { return partial.RawManifest(w) }
func (w withConfig) Digest() (v1.Hash, error)            { return partial.Digest(w) }
func (w withConfig) Size() (int64, error)                { return partial.Size(w) }
func (w withConfig) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (w withConfig) Manifest() (*v1.Manifest, error) {
	m, err := w.Image.Manifest()
	if err != nil {
		return nil, err
	}
	m = m.DeepCopy()
	m.MediaType = types.OCIManifestSchema1
	m.Config, err = func() (v1.Descriptor, error) {
		hash, size, err := v1.SHA256(strings.NewReader(string(w.raw)))
		return v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: hash, Size: size}, err
	}()
	return m, err
}

func TestSourcesThatCannotBeRepacked(t *testing.T) {
	plain := makeImage(t, "linux/amd64", Tar(t, File("a", "1")))
	withType := func(mt types.MediaType) v1.Image {
		img, err := mutate.AppendLayers(plain, tarLayer(t, Tar(t, File("b", "")), tarball.WithMediaType(mt)))
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	raw, _ := plain.RawConfigFile()
	for name, tt := range map[string]struct {
		img        v1.Image
		text, hint string
	}{
		"windows":             {makeImage(t, "windows/amd64", Tar(t, File("Files/a", "1"))), "is a Windows image", "--platform 'linux/*'"},
		"encrypted":           {withType("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"), "the layer is encrypted", "skopeo copy --decryption-key"},
		"foreign":             {withType(types.DockerForeignLayer), "the layer is foreign", "non-distributable"},
		"unknown":             {withType("application/x-thing"), `unknown layer media type "application/x-thing"`, "only tar layers"},
		"artifact":            {mutate.ConfigMediaType(plain, "application/x.config"), "is not a container image", "no root filesystem"},
		"diff id":             {withConfig{plain, []byte(strings.Replace(string(raw), "\"diff_ids\":[\"sha256:", "\"diff_ids\":[\"sha256:"+strings.Repeat("0", 64)+"\",\"sha256:", 1))}, "its manifest lists 1 layers, its config 2", "rebuild it"},
		"wrong diff":          {withConfig{plain, replaceDiffID(raw)}, "content does not match its digest: the config's diff_id", "rebuild it"},
		"not json":            {withConfig{plain, []byte("{")}, "parsing config", ""},
		"escape":              {makeImage(t, "linux/amd64", Tar(t, File("../../etc/passwd", ""))), `has a ".." component`, "mind where it came from"},
		"escape by a link":    {makeImage(t, "linux/amd64", Tar(t, Link("a", "../../etc/passwd"))), `hard link target: entry name "../../etc/passwd" has a ".." component`, "mind where it came from"},
		"cycle of symlinks":   {makeImage(t, "linux/amd64", Tar(t, Symlink("a", "b"), Symlink("b", "a")), Tar(t, File("a/x", ""))), "too many levels of symbolic links", "lead in a circle"},
		"links to each other": {makeImage(t, "linux/amd64", Tar(t, Link("a", "b"), Link("b", "a"))), `hard link "a": target "b" does not exist`, "rebuild the image"},
		"bomb of holes":       {makeImage(t, "linux/amd64", Archive(SparseFormats["PAX 1.0"](Sparse{Name: "s", Size: 1 << 50}))), "layer exceeds the limit", "do not unpack it"},
		"truncated archive":   {makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 5000)))[:2000]), "unexpected EOF", "no whole tar archive"},
		"unknown entry":       {makeImage(t, "linux/amd64", Tar(t, Entry{Header: tar.Header{Name: "x", Typeflag: 'V'}})), "unknown tar entry type 'V'", "engines refuse such an entry"},
		"broken link":         {makeImage(t, "linux/amd64", Tar(t, Link("a", "nowhere"))), `target "nowhere" does not exist`, "rebuild the image"},
		"not a tar":           {makeImage(t, "linux/amd64", []byte(strings.Repeat("no tar ", 200))), "invalid tar header", "no whole tar archive"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := store(t, tt.img)
			host := newRegistry(t)
			_, err := tryRun(t, "oci://"+dir, host+"/out:1", repack.Options{Verify: true})
			if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("got %v\nhint %q", err, fault.HintOf(err))
			}
			if _, err := remote.Head(mustName(t, host+"/out:1")); err == nil {
				t.Error("something is at the destination")
			}
		})
	}
}

// What an image may hold, all of its layers may hold together.
func TestLimitsAreOfTheWholeImage(t *testing.T) {
	var tars [][]byte
	for i := range 3 {
		tars = append(tars, Tar(t, File(fmt.Sprintf("a%d", i), noise(uint64(i), 1000)), File(fmt.Sprintf("b%d", i), "")))
	}
	host := newRegistry(t)
	push(t, host+"/app", makeImage(t, "linux/amd64", tars...))
	run(t, host+"/app", host+"/out", repack.Options{Limits: layer.Limits{Entries: 6}})
	_, err := tryRun(t, host+"/app", host+"/none", repack.Options{Limits: layer.Limits{Entries: 5}, Jobs: 3})
	if !errors.Is(err, layer.ErrTooLarge) || !strings.Contains(fault.HintOf(err), "do not unpack it") {
		t.Errorf("got %v", err)
	}
}

func replaceDiffID(raw []byte) []byte {
	s := string(raw)
	i := strings.Index(s, `"diff_ids":["sha256:`) + len(`"diff_ids":["sha256:`)
	return []byte(s[:i] + strings.Repeat("0", 64) + s[i+64:])
}

func TestDamagedBlobs(t *testing.T) {
	img := makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 300_000))))
	layers, _ := img.Layers()
	digest, _ := layers[0].Digest()
	for name, damage := range map[string]func([]byte) []byte{
		"truncated":     func(b []byte) []byte { return b[:len(b)/2] },
		"longer":        func(b []byte) []byte { return append(b, 0) },
		"one bit":       func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"last byte off": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"empty":         func([]byte) []byte { return nil },
		"missing":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			dir := store(t, img)
			file := filepath.Join(dir, "blobs/sha256", digest.Hex)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if damage == nil {
				err = os.Remove(file)
			} else {
				err = os.WriteFile(file, damage(data), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(t.TempDir(), "out")
			_, err = tryRun(t, "oci://"+dir, "oci://"+to, repack.Options{})
			if err == nil || !strings.Contains(err.Error(), "reading layer 0, "+digest.String()) || fault.HintOf(err) == "" || strings.Contains(fault.HintOf(err), "connection") {
				t.Errorf("got %v\nhint %q", err, fault.HintOf(err))
			}
			if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the destination is there: %v", err)
			}
		})
	}
}

// Wrong bytes from a registry are not asked for again: they stay wrong.
func TestRegistryWithDamagedBlob(t *testing.T) {
	img := makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 300_000))))
	layers, _ := img.Layers()
	digest, _ := layers[0].Digest()
	var asked atomic.Int32
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/blobs/"+digest.String()) {
			handler.ServeHTTP(w, r)
			return
		}
		asked.Add(1)
		blob := httptest.NewRecorder()
		handler.ServeHTTP(blob, r)
		data := blob.Body.Bytes()
		data[len(data)-1] ^= 1
		w.Write(data)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	push(t, host+"/app:1", img)
	_, err := tryRun(t, host+"/app:1", host+"/app:out", repack.Options{})
	if !errors.Is(err, repack.ErrDigest) || !strings.Contains(err.Error(), "reading layer 0, "+digest.String()) || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the blob was asked for %d times", n)
	}
}

// What a layer that broke off has left in the spool is taken up by the next attempt: the result is
// that of a run without the break, and the spool has nothing twice.
func TestLayerThatBreaksOffLate(t *testing.T) {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	var entries []Entry
	for i := range 300 {
		entries = append(entries, File(fmt.Sprintf("d/small%03d", i), noise(uint64(i), 20_000)))
	}
	entries = append(entries, File("e/large", noise(1000, 3<<20)), File("e/larger", noise(1001, 5<<20)))
	img := makeImage(t, "linux/amd64", Tar(t, entries...))
	layers, _ := img.Layers()
	digest, _ := layers[0].Digest()
	broken := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !broken && strings.HasPrefix(r.URL.Path, "/v2/app/blobs/"+digest.String()) && r.Method == http.MethodGet {
			broken = true
			blob := httptest.NewRecorder()
			handler.ServeHTTP(blob, r)
			w.Header().Set("Content-Length", strconv.Itoa(blob.Body.Len()))
			w.Write(blob.Body.Bytes()[:blob.Body.Len()*3/4])
			return
		}
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	broken = true
	push(t, host+"/app:1", img)
	broken = false
	first := run(t, host+"/app:1", host+"/other:1", repack.Options{TargetSize: 4 << 20})
	if !broken {
		t.Fatal("nothing broke off")
	}
	second := run(t, host+"/app:1", host+"/other:2", repack.Options{TargetSize: 4 << 20})
	a, b := first.Images[0], second.Images[0]
	if first.Digest != second.Digest || a.SpoolBytes != b.SpoolBytes {
		t.Errorf("%s with a spool of %d bytes, %s with one of %d when nothing broke", first.Digest, a.SpoolBytes, second.Digest, b.SpoolBytes)
	}
}

// A registry that stumbles is asked again: each upload is put off once, and the
// first answer with a layer breaks off.
func TestRegistryThatStumbles(t *testing.T) {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	img := makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 300_000))))
	layers, _ := img.Layers()
	digest, _ := layers[0].Digest()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		var mu sync.Mutex
		seen := map[string]int{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[r.Method+r.URL.Path]++
			n := seen[r.Method+r.URL.Path]
			mu.Unlock()
			switch {
			case n == 1 && strings.Contains(r.URL.Path, "/blobs/uploads/") && r.Method == http.MethodPost:
				w.WriteHeader(status)
			case n == 1 && r.URL.Path == "/v2/app/blobs/"+digest.String() && r.Method == http.MethodGet:
				blob := httptest.NewRecorder()
				handler.ServeHTTP(blob, r)
				w.Header().Set("Content-Length", strconv.Itoa(blob.Body.Len()))
				w.Write(blob.Body.Bytes()[:1000])
			default:
				handler.ServeHTTP(w, r)
			}
		}))
		host := strings.TrimPrefix(server.URL, "http://")
		seen["POST/v2/app/blobs/uploads/"] = 1
		push(t, host+"/app:1", img)
		if r := run(t, host+"/app:1", host+"/other:1", repack.Options{Verify: true}); !r.Images[0].Verified {
			t.Errorf("got %+v", r)
		}
		server.Close()
	}
}

// A registry that takes nothing, in the ways that registries do: at once, or only
// when the first blob has been sent.
func TestDestinationThatRefuses(t *testing.T) {
	dir := store(t, makeImage(t, "linux/amd64", Tar(t, File("a", "1"))))
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		for late, want := range map[bool]string{false: "can be written", true: "uploading sha256:"} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/v2/":
				case late && r.Method == http.MethodPost:
					w.Header().Set("Location", r.URL.Path+"1")
					w.WriteHeader(http.StatusAccepted)
				default:
					w.WriteHeader(status)
				}
			}))
			_, err := tryRun(t, "oci://"+dir, strings.TrimPrefix(server.URL, "http://")+"/app:1", repack.Options{})
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(fault.HintOf(err), "docker login") {
				t.Errorf("status %d, late %v: got %v\nhint %q", status, late, err, fault.HintOf(err))
			}
			server.Close()
		}
	}
}

func TestDestinations(t *testing.T) {
	for in, want := range map[string]string{
		"docker.io/library/app:1": "index.docker.io/library/app:1-repacked",
		"host.test/app":           "host.test/app:latest-repacked",
		"oci://dir:tag":           "oci://dir:tag-repacked",
		"oci://dir":               "",
		"host.test/app@sha256:" + strings.Repeat("0", 64): "",
	} {
		got, err := repack.DefaultDestination(parse(t, in))
		switch {
		case want == "" && (err == nil || fault.HintOf(err) == ""):
			t.Errorf("%s: got %v, %v", in, got, err)
		case want != "" && (err != nil || strings.TrimPrefix(got.String(), "docker://") != want):
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
	full := t.TempDir()
	os.WriteFile(filepath.Join(full, "file"), nil, 0o600)
	for _, ref := range []string{"host.test/app@sha256:" + strings.Repeat("0", 64), "oci://" + full, "oci:///dev/null/x"} {
		if _, err := repack.OpenDestination(t.Context(), parse(t, ref), image.Options{}); err == nil {
			t.Errorf("%s can be opened", ref)
		}
	}
}

func TestCancelLeavesNothing(t *testing.T) {
	dir := store(t, makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 4_000_000)))))
	to := filepath.Join(t.TempDir(), "new", "out")
	tmp := t.TempDir()
	dst, err := repack.OpenDestination(t.Context(), parse(t, "oci://"+to), image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = repack.Run(ctx, resolve(t, parse(t, "oci://"+dir)), cancelAtManifest{dst, cancel}, repack.Options{TempDir: tmp, Verify: true})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("temporary files: %v", left)
	}
	if _, err := os.Stat(filepath.Dir(to)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left at the destination: %v", err)
	}
}

// cancelAtManifest interrupts a run when all blobs are there.
type cancelAtManifest struct {
	repack.Destination
	cancel context.CancelFunc
}

func (c cancelAtManifest) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte) error {
	c.cancel()
	return c.Destination.PutManifest(ctx, d, raw)
}
