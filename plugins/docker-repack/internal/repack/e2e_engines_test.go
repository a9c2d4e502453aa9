//go:build e2e

package repack_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"golang.org/x/sys/unix"

	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

func environment(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run make test, which prepares the testbed", name)
	}
	return v
}

// A puller pulls an image that it has not got, and describes its root filesystem
// as a container would see it, in the form of Lines.
type puller func(t *testing.T, ref string) ([]string, error)

// engines are the programs from outside that pull from the testbed's registry.
func engines(t *testing.T) map[Judge]puller {
	t.Helper()
	return map[Judge]puller{
		OldEngine: docker(environment(t, "DOCKERFACTORY_OLD_DOCKER_HOST")),
		Engine:    docker(environment(t, "DOCKERFACTORY_DOCKER_HOST")),
		Podman:    podman(environment(t, "DOCKERFACTORY_PODMAN")),
		Umoci:     umoci,
	}
}

func output(t *testing.T, command ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(command[:2], " "), err, out)
	}
	return string(out), err
}

func docker(host string) puller {
	return func(t *testing.T, ref string) ([]string, error) {
		run := func(args ...string) (string, error) {
			return output(t, append([]string{"docker", "--host", host}, args...)...)
		}
		if _, err := run("pull", "--quiet", ref); err != nil {
			return nil, err
		}
		defer func() {
			if _, err := run("rmi", "--force", ref); err != nil {
				t.Error(err)
			}
		}()
		out, err := run("image", "inspect", ref)
		if err != nil {
			return nil, err
		}
		var images []struct {
			GraphDriver struct {
				Data struct{ LowerDir, UpperDir string }
			}
			RootFS struct{ Layers []digest.Digest }
		}
		if err := json.Unmarshal([]byte(out), &images); err != nil {
			return nil, err
		}
		if dirs := images[0].GraphDriver.Data; dirs.UpperDir != "" {
			return readOverlay(t, strings.Trim(dirs.UpperDir+":"+dirs.LowerDir, ":")+":"+plainDir(t))
		}
		return readSnapshot(t, filepath.Join(filepath.Dir(strings.TrimPrefix(host, "unix://")), "containerd.sock"), identity.ChainID(images[0].RootFS.Layers))
	}
}

// readSnapshot reads what containerd, as the engine's image store, has unpacked.
func readSnapshot(t *testing.T, socket string, chain digest.Digest) ([]string, error) {
	c, err := containerd.New(socket, containerd.WithDefaultNamespace("moby"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	store := c.SnapshotService("overlayfs")
	at := plainDir(t)
	key := "repack-" + filepath.Base(at)
	mounts, err := store.View(t.Context(), key, chain.String())
	if err != nil {
		return nil, err
	}
	defer store.Remove(t.Context(), key)
	if err := mount.All(mounts, at); err != nil {
		return nil, err
	}
	defer mount.UnmountAll(at, 0)
	return ReadDir(at)
}

func readOverlay(t *testing.T, lower string) ([]string, error) {
	at := plainDir(t)
	if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+lower); err != nil {
		return nil, fmt.Errorf("mounting %s: %w", lower, err)
	}
	defer unix.Unmount(at, 0)
	return ReadDir(at)
}

// plainDir is a directory whose name has no comma nor colon, which mount options
// are split at.
func plainDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "judge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	return dir
}

// umoci has no pull of its own: skopeo fetches for it.
func umoci(t *testing.T, ref string) ([]string, error) {
	dir := filepath.Join(t.TempDir(), "layout")
	if _, err := output(t, "skopeo", "copy", "--quiet", "--src-tls-verify=false", "docker://"+ref, "oci:"+dir+":app"); err != nil {
		return nil, err
	}
	return tryUmoci(t, dir)
}

func podman(command string) puller {
	return func(t *testing.T, ref string) ([]string, error) {
		run := func(args ...string) (string, error) {
			return output(t, append([]string{command}, args...)...)
		}
		if _, err := run("pull", "--quiet", "--tls-verify=false", ref); err != nil {
			return nil, err
		}
		defer run("rmi", "--force", ref)
		at, err := run("image", "mount", ref)
		if err != nil {
			return nil, err
		}
		defer run("image", "unmount", "--force", ref)
		return ReadDir(strings.TrimSpace(at))
	}
}
