package repack_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestUmociUnpacksEqualTrees lets a program from outside judge: umoci unpacks the
// source and the result, and the two directories are equal. gzip, because umoci
// 0.4.7 reads no zstd.
func TestUmociUnpacksEqualTrees(t *testing.T) {
	if _, err := exec.LookPath("umoci"); err != nil || os.Getuid() != 0 {
		if os.Getenv("DOCKERFACTORY_E2E") == "1" {
			t.Fatalf("umoci and root are needed: %v", err)
		}
		t.Skip("needs umoci and root")
	}
	stacks := 10
	if testing.Short() {
		stacks = 3
	}
	for seed := range uint64(stacks) {
		rng := rand.New(rand.NewPCG(seed, 5))
		tars := Random(t, rng, 1+rng.IntN(5), Shape{Capabilities: true, RootOpaque: true, Spelling: true})
		tars = append(tars, Tar(t, Dir("a"), Dir("b"), File("a/n1", noise(seed, 900_000)), File("n2", noise(seed+1, 900_000)), File("b/n3", noise(seed, 900_000))))
		src := store(t, ociImage(t, tars))
		out := filepath.Join(t.TempDir(), "out")
		run(t, "oci://"+src, "oci://"+out+":app", repack.Options{TargetSize: repack.MinTargetSize, Compression: "gzip", Verify: true})
		want, got := umociUnpack(t, src), umociUnpack(t, out)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d (-source +result):\n%s", seed, diff)
		}
		if diff := cmp.Diff(Lines(merged(t, tars)), got); diff != "" {
			t.Fatalf("seed %d (-merged +unpacked):\n%s", seed, diff)
		}
	}
}

// ociImage has OCI media types all over: umoci knows no others.
func ociImage(t *testing.T, tars [][]byte) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(makeImage(t, "linux/amd64"), types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, data := range tars {
		var err error
		if img, err = mutate.AppendLayers(img, tarLayer(t, data, tarball.WithMediaType(types.OCILayer))); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func umociUnpack(t *testing.T, dir string) []string {
	t.Helper()
	lines, err := tryUmoci(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func tryUmoci(t *testing.T, dir string) ([]string, error) {
	bundle, err := os.MkdirTemp("", "umoci")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(bundle)
	bundle = filepath.Join(bundle, "bundle")
	if out, err := exec.CommandContext(t.Context(), "umoci", "unpack", "--image", dir+":app", bundle).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("umoci: %w: %s", err, out)
	}
	return ReadDir(filepath.Join(bundle, "rootfs"))
}
