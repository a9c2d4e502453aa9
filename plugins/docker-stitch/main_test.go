package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/factory"
	"github.com/dockerfactory/dockerfactory/shared/plugintest"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

func TestMain(m *testing.M) { plugintest.Main(m, "docker-stitch", main) }

// TestScripts runs the commands. Scripts find the project of testdata/factory in
// factory/, and in the registry the images good and stale: the first has the id
// that the project's manifest "gateway" renders to, the second another.
func TestScripts(t *testing.T) {
	plugintest.Run(t, "docker-stitch", "testdata", func(env *testscript.Env) error {
		dir := filepath.Join(env.WorkDir, "factory")
		if err := os.CopyFS(dir, os.DirFS("testdata/factory")); err != nil {
			return err
		}
		project, err := stitch.OpenFactory(dir, "", factory.Layout{})
		if err != nil {
			return err
		}
		defer project.Close()
		r, err := project.Render(t.Context(), "gateway")
		if err != nil {
			return err
		}
		for tag, id := range map[string]string{"good": r.ID, "stale": fmt.Sprintf("sha256:%064d", 0), "unlabelled": ""} {
			if err := push(env.Getenv("REGISTRY")+"/gateway:"+tag, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func push(ref, id string) error {
	config := v1.Config{}
	if id != "" {
		config.Labels = map[string]string{wire.LabelManifestName: "gateway", wire.LabelManifestID: id}
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: config})
	if err != nil {
		return err
	}
	tag, err := name.ParseReference(ref)
	if err != nil {
		return err
	}
	return remote.Write(tag, img)
}
