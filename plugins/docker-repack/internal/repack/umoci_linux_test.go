package repack_test

import (
	"archive/tar"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	requireUmoci(t)
	for seed := range Seeds(t, 5) {
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

func requireUmoci(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("umoci"); err != nil || os.Getuid() != 0 {
		if os.Getenv("DOCKERFACTORY_E2E") == "1" {
			t.Fatalf("umoci and root are needed: %v", err)
		}
		t.Skip("needs umoci and root")
	}
}

// TestTreeDigestCanBeRecomputed lets a program in another language compute the
// digest of what umoci has unpacked: it is the one that the manifest says.
func TestTreeDigestCanBeRecomputed(t *testing.T) {
	requireUmoci(t)
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("DOCKERFACTORY_E2E") == "1" {
			t.Fatalf("python3 is needed: %v", err)
		}
		t.Skip("needs python3")
	}
	root := Dir("./").With(func(h *tar.Header) { h.Mode, h.Uid = 0o711, 5 })
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 8))
		tars := Random(t, rng, 1+rng.IntN(4), Shape{Implied: true, Capabilities: true, RootOpaque: true, Spelling: true})
		last := []Entry{File("-first", "-"), Link(" ", "-first"), File("sum", noise(seed, 5000))}
		implied := []string{"--implied", "."}
		if seed%2 == 0 {
			last, implied = append(last, root), nil
		}
		src := store(t, ociImage(t, append(tars, Tar(t, last...))))
		out := filepath.Join(t.TempDir(), "out")
		r := run(t, "oci://"+src, "oci://"+out+":app", repack.Options{TargetSize: 500, Compression: "gzip"})
		rootfs, err := umociRootfs(t, out)
		if err != nil {
			t.Fatal(err)
		}
		command := append([]string{"../../../../shared/layer/testdata/treedigest.py", rootfs}, implied...)
		got, err := exec.CommandContext(t.Context(), "python3", command...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(got)) != r.Images[0].Tree {
			t.Errorf("seed %d: recomputed %s, %v, want %s", seed, got, err, r.Images[0].Tree)
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
	rootfs, err := umociRootfs(t, dir)
	if err != nil {
		return nil, err
	}
	return ReadDir(rootfs)
}

// umociRootfs unpacks the layout's image for as long as the test runs.
func umociRootfs(t *testing.T, dir string) (string, error) {
	base, err := os.MkdirTemp("", "umoci")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	bundle := filepath.Join(base, "bundle")
	if out, err := exec.CommandContext(t.Context(), "umoci", "unpack", "--image", dir+":app", bundle).CombinedOutput(); err != nil {
		return "", fmt.Errorf("umoci: %w: %s", err, out)
	}
	return filepath.Join(bundle, "rootfs"), nil
}
