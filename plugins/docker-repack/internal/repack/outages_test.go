package repack_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestRegistryThatFails goes through all answers that a registry may have instead
// of the right one, at each step, for good. The error says which step and has a
// hint, and nothing has the destination's name.
func TestRegistryThatFails(t *testing.T) {
	img := makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 3000))))
	layers, _ := img.Layers()
	digest, _ := layers[0].Digest()
	const drop = 0
	hints := map[int]string{
		http.StatusUnauthorized: "docker login", http.StatusForbidden: "docker login", http.StatusNotFound: "check the name",
		http.StatusTooManyRequests: "try again later", http.StatusServiceUnavailable: "try again later", drop: "",
	}
	steps := map[string]struct{ method, path, text string }{
		"manifest of the source": {"GET", "/v2/app/manifests/1", "resolving "},
		"layer of the source":    {"GET", "/v2/app/blobs/" + digest.String(), "reading layer 0, " + digest.String()},
		"permission to write":    {"POST", "/v2/out/blobs/uploads/", "can be written"},
		"end of an upload":       {"PUT", "/v2/out/blobs/uploads/", "uploading "},
		"manifest of the result": {"PUT", "/v2/out/manifests/sha256:", "uploading manifest "},
		"tag of the result":      {"PUT", "/v2/out/manifests/1", "tagging "},
	}
	var wait sync.WaitGroup
	for step, s := range steps {
		for status, hint := range hints {
			wait.Go(func() {
				handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
				healthy := httptest.NewServer(handler)
				defer healthy.Close()
				push(t, strings.TrimPrefix(healthy.URL, "http://")+"/app:1", img)
				failing := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch {
					case r.Method != s.method || !strings.HasPrefix(r.URL.Path, s.path):
						handler.ServeHTTP(w, r)
					case status == drop:
						panic(http.ErrAbortHandler)
					default:
						w.WriteHeader(status)
					}
				}))
				failing.Config.ErrorLog = log.New(io.Discard, "", 0)
				failing.Start()
				defer failing.Close()
				host := strings.TrimPrefix(failing.URL, "http://")
				err := repackOnce(t, host+"/app:1", host+"/out:1")
				if err == nil || !strings.Contains(err.Error(), s.text) {
					t.Errorf("%s, status %d: got %v", step, status, err)
				} else if step == "layer of the source" && status == http.StatusNotFound {
					if got := fault.HintOf(err); !strings.Contains(got, "push the image again") {
						t.Errorf("%s, status %d: hint %q", step, status, got)
					}
				} else if got := fault.HintOf(err); got == "" || !strings.Contains(got, hint) {
					t.Errorf("%s, status %d: hint %q for %v", step, status, got, err)
				}
				if _, err := remote.Head(mustName(t, strings.TrimPrefix(healthy.URL, "http://")+"/out:1")); err == nil {
					t.Errorf("%s, status %d: the destination has its name", step, status)
				}
			})
		}
	}
	wait.Wait()
}

// repackOnce is a whole command, from the names on.
func repackOnce(t *testing.T, from, to string) error {
	dst, err := repack.OpenDestination(t.Context(), parse(t, to), image.Options{})
	if err != nil {
		return err
	}
	source, err := image.Resolve(t.Context(), parse(t, from), image.Options{})
	if err != nil {
		return err
	}
	_, err = repack.Run(t.Context(), source, dst, repack.Options{TempDir: t.TempDir(), Verify: true})
	return err
}

// TestFullDisk runs out of room for temporary files, and at the destination.
func TestFullDisk(t *testing.T) {
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		if os.Getenv("DOCKERFACTORY_E2E") == "1" {
			t.Fatalf("mounting a small disk: %v", err)
		}
		t.Skipf("needs root: %v", err)
	}
	defer syscall.Unmount(small, 0)
	src := "oci://" + store(t, makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 2_000_000)))))
	for name, tt := range map[string]struct{ to, tmp, hint string }{
		"temporary files": {filepath.Join(t.TempDir(), "out"), small, "--tmpdir"},
		"destination":     {filepath.Join(small, "out"), t.TempDir(), "room"},
	} {
		t.Run(name, func(t *testing.T) {
			dst, err := repack.OpenDestination(t.Context(), parse(t, "oci://"+tt.to), image.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = repack.Run(t.Context(), resolve(t, parse(t, src)), dst, repack.Options{TempDir: tt.tmp})
			if err == nil || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("got %v\nhint %q", err, fault.HintOf(err))
			}
			for _, dir := range []string{small, tt.tmp, filepath.Dir(tt.to)} {
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Errorf("left in %s: %v", dir, fmt.Sprint(left))
				}
			}
		})
	}
}
