package layer_test

import (
	"bytes"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

func TestDirectories(t *testing.T) {
	data := Tar(t, File("top", ""), Dir("."), File("a/b/f", ""), Dir("a"), Dir("c"), Dir("c/d/e"), Link("l/h", "top"), File("w/.wh.x", ""), File("o/p/.wh..wh..opq", ""))
	set, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"a": true, "a/b": false, "c": true, "c/d": false, "c/d/e": true, "l": false, "w": false, "o": false, "o/p": false}
	if diff := cmp.Diff(want, maps.Collect(set.Directories())); diff != "" {
		t.Error(diff)
	}
}
