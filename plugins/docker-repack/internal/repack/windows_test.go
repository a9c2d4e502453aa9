package repack_test

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// Images of an index that are for Windows stay as they are, wherever the index goes,
// and the others are repacked.
func TestWindowsImagesStay(t *testing.T) {
	host := newRegistry(t)
	windows := makeImage(t, "windows/amd64", Tar(t, File("Files/a", "1")))
	server := v1.Descriptor{Platform: &v1.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.1"}, Annotations: map[string]string{"of": "windows"}}
	source := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: windows, Descriptor: server},
		mutate.IndexAddendum{Add: makeImage(t, "linux/amd64", Tar(t, File("a", "1"))), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	push(t, host+"/app", source)
	for _, to := range []string{host + "/out", "oci://" + t.TempDir() + "/layout", "docker-archive://" + t.TempDir() + "/a.tar:app:1"} {
		r := run(t, host+"/app", to, repack.Options{Verify: true})
		if len(r.Images) != 1 || !strings.Contains(fmt.Sprint(r.Warnings), "windows/amd64:10.0.20348.1 stays as it is") {
			t.Fatalf("%s: got %+v", to, r)
		}
		s, err := image.Resolve(t.Context(), parse(t, to), image.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		c, err := repack.Compare(t.Context(), resolve(t, parse(t, host+"/app")), s, repack.Options{})
		if err != nil || !c.Equal {
			t.Errorf("%s: got %+v, %v", to, c, err)
		}
	}
	_, m := indexManifest(t, host+"/out")
	if d := m.Manifests[0]; d.Digest != must(windows.Digest()) || d.Annotations["of"] != "windows" || d.Platform.OSVersion != server.Platform.OSVersion {
		t.Errorf("the index has %+v", d)
	}
	if got := must(must(resolve(t, parse(t, host+"/out")).Index()).Image(must(windows.Digest()))); len(must(got.Layers())) != 1 {
		t.Error("the image has lost its layer")
	}

	// Without the one for Windows, an index is another.
	r := run(t, host+"/app", host+"/linux", repack.Options{Platforms: []image.PlatformPattern{"linux/*"}})
	c, err := repack.Compare(t.Context(), resolve(t, parse(t, host+"/app")), resolve(t, parse(t, host+"/linux")), repack.Options{})
	if err != nil || len(r.Warnings) > 0 || fmt.Sprint(c.Differences) != fmt.Sprintf("[config: image: %q and \"\"]", must(windows.Digest())) {
		t.Errorf("got %+v, %+v, %v", r, c, err)
	}

	// Who asks for it, or has nothing else, is told.
	push(t, host+"/only", indexOf(t, windows))
	for from, platforms := range map[string][]image.PlatformPattern{host + "/app": {"windows/*"}, host + "/only": nil} {
		_, err := tryRun(t, from, host+"/none", repack.Options{Platforms: platforms})
		if err == nil || !strings.Contains(err.Error(), "is a Windows image") || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", from, err)
		}
	}
}
