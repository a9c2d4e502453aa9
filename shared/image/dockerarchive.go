package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const dockerManifestFile = "manifest.json"

// dockerEntry is one image in the manifest.json of docker save: see
// image/spec/v1.2.md in moby/moby, "Combined Image JSON + Filesystem Changeset Format".
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// resolveDockerArchive finds an image in what docker save writes: since Docker 25
// an OCI layout, before that a format of its own, which is presented as an OCI
// image. Either may come with a list of the other form.
func resolveDockerArchive(ctx context.Context, ref Reference, f files) (Subject, error) {
	if r, _, err := f.open(ocispec.ImageIndexFile); err == nil {
		r.Close()
		return resolveLayout(ctx, ref, f)
	}
	raw, err := readAll(f, dockerManifestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Subject{}, fmt.Errorf("no docker archive: there is neither %s nor %s", dockerManifestFile, ocispec.ImageIndexFile)
	}
	if err != nil {
		return Subject{}, err
	}
	var entries, found []dockerEntry
	if err := json.Unmarshal(raw, &entries); err != nil {
		return Subject{}, fmt.Errorf("parsing %s: %w", dockerManifestFile, err)
	}
	classic := &classicStore{files: f, blobs: map[v1.Hash]string{}, manifests: map[v1.Hash][]byte{}}
	for _, e := range entries {
		ok := ref.Kind != DockerArchive || ref.Name == nil || slices.ContainsFunc(e.RepoTags, func(t string) bool {
			n, err := name.ParseReference(t, name.WeakValidation)
			return err == nil && n.Name() == ref.Name.Name()
		})
		if ok && ref.Digest != (v1.Hash{}) {
			d, err := classic.add(ctx, e)
			if err != nil {
				return Subject{}, err
			}
			ok = d.Digest == ref.Digest
		}
		if ok {
			found = append(found, e)
		}
	}
	if err := one(ref, len(found), len(entries), func() (names []string) {
		for _, e := range entries {
			names = append(names, e.RepoTags...)
		}
		return names
	}); err != nil {
		return Subject{}, err
	}
	d, err := classic.add(ctx, found[0])
	if err != nil {
		return Subject{}, err
	}
	return newSubject(ctx, ref, d, classic, f.Close), nil
}

// classicStore presents images of the format before Docker 25 as OCI images.
type classicStore struct {
	files
	blobs     map[v1.Hash]string // files by digest
	manifests map[v1.Hash][]byte
}

func (c *classicStore) Manifest(_ context.Context, d v1.Descriptor) ([]byte, error) {
	if raw, ok := c.manifests[d.Digest]; ok {
		return raw, nil
	}
	return nil, fmt.Errorf("manifest %s: %w", d.Digest, fs.ErrNotExist)
}

func (c *classicStore) Blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	file, ok := c.blobs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, fs.ErrNotExist)
	}
	r, _, err := c.open(file)
	return r, err
}

// add makes the manifest of an image.
func (c *classicStore) add(ctx context.Context, e dockerEntry) (v1.Descriptor, error) {
	raw, err := readAll(c.files, e.Config)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("reading config: %w", err)
	}
	var config struct {
		RootFS struct {
			DiffIDs []v1.Hash `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return v1.Descriptor{}, fmt.Errorf("parsing config %s: %w", e.Config, err)
	}
	if n, m := len(e.Layers), len(config.RootFS.DiffIDs); n != m {
		return v1.Descriptor{}, fmt.Errorf("the archive is malformed: %s lists %d layers, %s %d", dockerManifestFile, n, e.Config, m)
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return v1.Descriptor{}, err
	}
	c.blobs[digest] = e.Config
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: digest, Size: size},
		Layers: []v1.Descriptor{},
	}
	for i, file := range e.Layers {
		d, err := c.layer(ctx, file, config.RootFS.DiffIDs[i])
		if err != nil {
			return v1.Descriptor{}, fmt.Errorf("reading layer %d, %s: %w", i, file, err)
		}
		c.blobs[d.Digest] = file
		m.Layers = append(m.Layers, d)
	}
	if raw, err = json.Marshal(m); err != nil {
		return v1.Descriptor{}, err
	}
	digest, size, err = v1.SHA256(bytes.NewReader(raw))
	c.manifests[digest] = raw
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest, Size: size}, err
}

// layer describes a layer. An uncompressed one, which is what docker save wrote,
// has its diffID for a digest and is not read; other programs wrote gzip.
func (c *classicStore) layer(ctx context.Context, file string, diffID v1.Hash) (v1.Descriptor, error) {
	r, size, err := c.open(file)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer r.Close()
	magic := make([]byte, 4)
	n, err := io.ReadFull(r, magic)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: diffID, Size: size}
	switch {
	case bytes.HasPrefix(magic[:n], []byte{0x1f, 0x8b}):
		d.MediaType = types.OCILayer
	case bytes.Equal(magic[:n], []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d.MediaType = types.OCILayerZStd
	default:
		return d, nil
	}
	d.Digest, _, err = v1.SHA256(io.MultiReader(bytes.NewReader(magic[:n]), readerWithContext{ctx, r}))
	return d, err
}

type readerWithContext struct {
	ctx context.Context //nolint:containedctx // lives as long as one copy
	io.Reader
}

func (r readerWithContext) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
