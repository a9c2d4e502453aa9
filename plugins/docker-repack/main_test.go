package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
	"github.com/dockerfactory/dockerfactory/shared/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, "docker-repack", main) }

func TestScripts(t *testing.T) {
	plugintest.Run(t, "docker-repack", "testdata", func(env *testscript.Env) error {
		down := httptest.NewServer(http.NotFoundHandler())
		down.Close()
		env.Setenv("DOWN", strings.TrimPrefix(down.URL, "http://"))
		denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				w.WriteHeader(http.StatusForbidden)
			}
		}))
		env.Defer(denied.Close)
		env.Setenv("DENIED", strings.TrimPrefix(denied.URL, "http://"))
		return pushImages(t, env.Getenv("REGISTRY"))
	})
}

// pushImages puts the images into the script's registry that the scripts are about.
func pushImages(t *testing.T, host string) error {
	big := strings.Repeat("some text that compresses\n", 100_000)
	app := [][]byte{
		Tar(t, Dir("etc"), File("etc/a", "1"), File("big", big), File("copy", big)),
		Tar(t, File("etc/.wh.a", ""), File("etc/b", "2")),
	}
	images := map[string]v1.Image{}
	for repo, tt := range map[string]struct {
		platform string
		tars     [][]byte
	}{
		"app:1":     {"linux/amd64", app},
		"changed:1": {"linux/amd64", append(app[:1:1], Tar(t, File("etc/b", "3")))},
		"leak:1": {"linux/amd64", [][]byte{
			Tar(t, File("root/.npmrc", "token=abc"), File("root/notes", "-----BEGIN OPENSSH PRIVATE KEY-----\nx")),
			Tar(t, File("root/.wh..npmrc", ""), File("root/.wh.notes", "")),
		}},
		"arm":       {"linux/arm64", app},
		"windows:1": {"windows/amd64", app},
		"escape:1":  {"linux/amd64", [][]byte{Tar(t, File("../x", ""))}},
	} {
		img, err := newImage(tt.platform, tt.tars)
		if err != nil {
			return err
		}
		images[repo] = img
		if err := put(host+"/"+repo, func(n name.Reference) error { return remote.Write(n, img) }); err != nil {
			return err
		}
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	index = mutate.AppendManifests(index,
		mutate.IndexAddendum{Add: images["app:1"], Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: images["arm"], Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	return put(host+"/multi:1", func(n name.Reference) error { return remote.WriteIndex(n, index) })
}

func put(ref string, write func(name.Reference) error) error {
	n, err := name.ParseReference(ref)
	if err == nil {
		err = write(n)
	}
	if err != nil {
		return fmt.Errorf("pushing %s: %w", ref, err)
	}
	return nil
}

func newImage(platform string, tars [][]byte) (v1.Image, error) {
	img := empty.Image
	for _, data := range tars {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return nil, err
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, _ = strings.Cut(platform, "/")
	config.Config.Cmd = []string{"sh"}
	return mutate.ConfigFile(img, config)
}
