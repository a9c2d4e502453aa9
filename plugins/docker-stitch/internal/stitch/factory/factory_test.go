package factory_test

import (
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/factory"
)

func TestParseFillsIn(t *testing.T) {
	set, err := factory.Parse("f", []byte(`{"b": {"modules": [{"name": "core"}]}, "a": {"template": {"id": "x"}, "modules": []}}`), factory.Layout{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(set.Names(), " "); got != "b a" {
		t.Errorf("names = %s, want the order of the file", got)
	}
	b, a := set.Manifests[0], set.Manifests[1]
	if b.Template.Value != "dockerfiles/templates/default/latest/Dockerfile.tpl" || a.Template.Value != "dockerfiles/templates/x/latest/Dockerfile.tpl" {
		t.Errorf("templates = %s, %s", b.Template.Value, a.Template.Value)
	}
	if b.Fragments[0].Dirs[0] != "control_plane/data/modules/core/latest" || b.Output.Value != "dockerfiles/Dockerfile.rendered" {
		t.Errorf("got %+v, %s", b.Fragments[0], b.Output.Value)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a": {"template": {"path": "x"}, "modules": [{"name": "core", "version": "1", "path": "p"}], "base_image": "b", "output": "o"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := factory.Parse("f", data, factory.Layout{})
		if err == nil && len(set.Manifests) == 0 {
			t.Error("no manifest and no error")
		}
	})
}
