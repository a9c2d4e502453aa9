package tree_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/tree"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

type file struct{ name, content string }

// image has one layer for each of layers.
func image(t *testing.T, layers ...[]file) v1.Image {
	t.Helper()
	img := empty.Image
	for _, files := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, f := range files {
			h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content)), ModTime: time.Unix(1, 0)}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, f.content); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err == nil {
			img, err = mutate.AppendLayers(img, l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := tree.Digest(t.Context(), img, progress.Discard.Step("tree"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDigestIsOfTheMergedTree(t *testing.T) {
	one := digest(t, image(t, []file{{"a", "1"}, {"b", "2"}}))
	for name, img := range map[string]v1.Image{
		"cut":      image(t, []file{{"a", "1"}}, []file{{"b", "2"}}),
		"covered":  image(t, []file{{"a", "old"}}, []file{{"a", "1"}, {"b", "2"}}),
		"whiteout": image(t, []file{{"a", "1"}, {"c", "3"}}, []file{{".wh.c", ""}, {"b", "2"}}),
	} {
		if got := digest(t, img); got != one {
			t.Errorf("%s: %s, want %s", name, got, one)
		}
	}
	if digest(t, image(t, []file{{"a", "1"}, {"b", "3"}})) == one {
		t.Error("another content has the same digest")
	}
	if d := digest(t, image(t)); !strings.HasPrefix(d, "sha256:") || d == one {
		t.Errorf("an image without layers has digest %q", d)
	}
}

// liar is an image whose config tells other diff IDs than its layers have.
type liar struct {
	v1.Image
	config *v1.ConfigFile
}

func (l liar) ConfigFile() (*v1.ConfigFile, error) { return l.config, nil }

func TestDigestChecksDiffIDs(t *testing.T) {
	img := image(t, []file{{"a", "1"}})
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for name, ids := range map[string][]v1.Hash{
		"its content is": {{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}},
		"0 diff IDs":     {},
	} {
		lied := config.DeepCopy()
		lied.RootFS.DiffIDs = ids
		_, err := tree.Digest(t.Context(), liar{img, lied}, progress.Discard.Step("tree"))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error is %v, want %s", err, name)
		}
	}
}

func TestDigestStops(t *testing.T) {
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if _, err := tree.Digest(ctx, image(t, []file{{"a", "1"}}), progress.Discard.Step("tree")); !errors.Is(err, reason) {
		t.Errorf("error is %v, want %v", err, reason)
	}
}
