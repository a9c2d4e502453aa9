package testbed

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// The image that is written and pushed is judged by another implementation.
func TestImageReachesARegistry(t *testing.T) {
	srv := httptest.NewServer(registry.New())
	defer srv.Close()
	addr := strings.TrimPrefix(srv.URL, "http://")
	layout := filepath.Join(t.TempDir(), "image")
	if err := writeImage(t.Context(), layout, tree(t, 1), release); err != nil {
		t.Fatal(err)
	}
	pull := func() v1.Image {
		t.Helper()
		for range 2 { // the second time finds everything there
			if err := push(t.Context(), layout, addr, baseRepo, baseTag); err != nil {
				t.Fatal(err)
			}
		}
		ref, err := name.ParseReference(addr + "/" + baseRepo + ":" + baseTag)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(ref, remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	img := pull()
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Config.Cmd) != 1 || c.Config.Cmd[0] != "bash" || len(c.Config.Env) != 1 || !c.Created.Equal(release) || len(c.History) != 1 {
		t.Errorf("the configuration is %+v", c)
	}

	was, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	layout = filepath.Join(t.TempDir(), "again")
	if err := writeImage(t.Context(), layout, tree(t, 7), release); err != nil {
		t.Fatal(err)
	}
	if again, err := pull().Digest(); err != nil || again != was {
		t.Errorf("the same tree gave %s and %s, %v", was, again, err)
	}
}

func TestPushToARegistryThatIsDown(t *testing.T) {
	srv := httptest.NewServer(registry.New())
	addr := strings.TrimPrefix(srv.URL, "http://")
	srv.Close()
	layout := filepath.Join(t.TempDir(), "image")
	if err := writeImage(t.Context(), layout, tree(t, 1), release); err != nil {
		t.Fatal(err)
	}
	if err := push(t.Context(), layout, addr, baseRepo, baseTag); err == nil || !strings.Contains(err.Error(), "pushing sha256:") {
		t.Errorf("got %v", err)
	}
}
