package bed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Names lists the images that can be built.
func (b *Bed) Names() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(b.images, "*", "Dockerfile"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names, nil
}

// Source returns the reference of an image, built and pushed if it is not there
// from an earlier run.
func (b *Bed) Source(ctx context.Context, image string) (string, error) {
	refs, err := b.Series(ctx, image, []map[string]string{nil})
	if err != nil {
		return "", err
	}
	return refs[0], nil
}

// Series builds an image once for every set of build arguments, one after the
// other in one BuildKit, so that later ones share layers with earlier ones.
func (b *Bed) Series(ctx context.Context, image string, args []map[string]string, options ...string) ([]string, error) {
	dir := filepath.Join(b.images, image)
	key, err := contentKey(dir, fmt.Sprint(options, args))
	if err != nil {
		return nil, err
	}
	var refs []string
	for i := range args {
		refs = append(refs, fmt.Sprintf("%s/%s:%s-%d", b.Sources.Addr, image, key, i+1))
	}
	if Exists(refs[len(refs)-1]) {
		return refs, nil
	}
	b.Log("building %s", image)
	state, err := b.Work("buildkit")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(state)
	k, err := b.StartBuildKit(ctx, state)
	if err != nil {
		return nil, err
	}
	defer k.Stop()
	for i, ref := range refs {
		output := gzipTo(ref)
		if len(options) > 0 {
			output += ",rewrite-timestamp=true"
		}
		if _, err := k.Build(ctx, dir, args[i], output, options...); err != nil {
			return nil, err
		}
	}
	return refs, nil
}

// contentKey changes when a file below dir does.
func contentKey(dir, more string) (string, error) {
	h := sha256.New()
	h.Write([]byte(more))
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the image %s: %w", filepath.Base(dir), err)
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// Exists reports whether a registry has ref.
func Exists(ref string) bool {
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return false
	}
	_, err = remote.Head(r)
	return err == nil
}

// Shape is how an image is packed.
type Shape struct {
	Bytes   int64            `json:"bytes"`
	Layers  int              `json:"layers"`
	Largest int64            `json:"largest"`
	Blobs   map[string]int64 `json:"-"` // layers by digest
}

// ShapeOf reads the manifest of ref; of an index, that of its first image.
func ShapeOf(ref string) (Shape, error) {
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return Shape{}, fmt.Errorf("reading the manifest of a result: %w", err)
	}
	m, err := firstManifest(r)
	if err != nil {
		return Shape{}, fmt.Errorf("reading the manifest of a result: %w", err)
	}
	s := Shape{Layers: len(m.Layers), Blobs: map[string]int64{}}
	for _, l := range m.Layers {
		s.Blobs[l.Digest.String()] = l.Size
		s.Largest = max(s.Largest, l.Size)
	}
	for _, size := range s.Blobs {
		s.Bytes += size
	}
	return s, nil
}

func firstManifest(r name.Reference) (*v1.Manifest, error) {
	for {
		d, err := remote.Get(r)
		if err != nil {
			return nil, err
		}
		if !d.MediaType.IsIndex() {
			img, err := d.Image()
			if err != nil {
				return nil, err
			}
			return img.Manifest()
		}
		index, err := d.ImageIndex()
		if err != nil {
			return nil, err
		}
		list, err := index.IndexManifest()
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(list.Manifests, func(d v1.Descriptor) bool {
			return d.MediaType.IsIndex() || d.Platform == nil || d.Platform.OS != "unknown"
		})
		if i < 0 {
			return nil, fmt.Errorf("%s lists no image", r)
		}
		r = r.Context().Digest(list.Manifests[i].Digest.String())
	}
}
