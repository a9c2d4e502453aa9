//go:build e2e

package repack_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestEnginesUnpackLargeWindows has layers with windows of 64 MiB, and of 144 for copies
// of a large file: all engines that read zstd have the memory for them, and see the
// tree that is expected.
func TestEnginesUnpackLargeWindows(t *testing.T) {
	const mib = 1 << 20
	large, alike := noise(41, 140*mib), []byte(noise(42, 40*mib))
	changed := append([]byte(nil), alike...)
	for i := 0; i < len(changed); i += 1 << 14 {
		changed[i]++
	}
	owned := func(name string) Entry { // no hard link of another
		e := File(name, large)
		e.Uid = 1000
		return e
	}
	tars := [][]byte{
		Tar(t, File("opt/a.bin", string(alike)), File("opt/b.bin", string(changed)), File("srv/large.bin", large)),
		Tar(t, owned("home/large.bin"), Symlink("home/link", "large.bin")),
	}
	want := Lines(merged(t, tars))
	source := publish(t, environment(t, "DOCKERFACTORY_REGISTRY"), "windows", tars)
	to := source + "-out"
	r := run(t, source, to, repack.Options{TargetSize: 100 * mib, Verify: true})
	withdraw(t, to)
	if n := r.Images[0].BytesAfter; n > 182*mib {
		t.Errorf("%d bytes: copies are not found", n)
	}
	windows := map[uint64]bool{}
	for _, l := range must(imageOf(t, to).Layers()) {
		windows[windowOf(t, must(l.Compressed()))] = true
	}
	if !windows[64*mib] || !windows[144*mib] {
		t.Fatalf("the windows are %v", windows)
	}
	judges := engines(t)
	for _, judge := range []Judge{Engine, Podman} {
		t.Run(fmt.Sprint(judge), func(t *testing.T) {
			got, err := judges[judge](t, to)
			if err != nil {
				t.Fatal(err)
			}
			if diff := Compare(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	// Skopeo unpacks no trees. What it makes of the layers has the digests of the config.
	t.Run("skopeo", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := output(t, "skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-decompress", "docker://"+to, "dir:"+dir); err != nil {
			t.Fatal(err)
		}
		for _, id := range must(imageOf(t, to).ConfigFile()).RootFS.DiffIDs {
			f := must(os.Open(filepath.Join(dir, id.Hex)))
			defer f.Close()
			h := sha256.New()
			if _, err := io.Copy(h, f); err != nil || hex.EncodeToString(h.Sum(nil)) != id.Hex {
				t.Errorf("layer %s is another (%v)", id, err)
			}
		}
	})
}

// windowOf is what the first frame of a layer asks for.
func windowOf(t *testing.T, blob io.ReadCloser) uint64 {
	t.Helper()
	defer blob.Close()
	head := make([]byte, zstd.HeaderMaxSize)
	if _, err := io.ReadFull(blob, head); err != nil {
		t.Fatal(err)
	}
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		t.Fatal(err)
	}
	return h.WindowSize
}
