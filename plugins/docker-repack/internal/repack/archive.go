package repack

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// archiveDestination writes an OCI or docker archive. The file is made anew, in
// one step, at the end.
type archiveDestination struct {
	*staging
	ref image.Reference
}

var _ Destination = (*archiveDestination)(nil)

func newArchiveDestination(ref image.Reference, o image.Options) (*archiveDestination, error) {
	info, err := os.Stat(ref.Dir)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, fault.Hint(fmt.Errorf("destination %s is there and is no file", ref), "choose another name")
	case err != nil:
		if info, err = os.Stat(filepath.Dir(ref.Dir)); err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no directory", filepath.Dir(ref.Dir))
		}
		if err != nil {
			return nil, fmt.Errorf("opening destination %s: %w", ref, err)
		}
	}
	if err := checkWritable(filepath.Dir(ref.Dir)); err != nil {
		return nil, fault.Hint(fmt.Errorf("opening destination %s: %w", ref, err), "choose a directory that can be written")
	}
	s, err := newStaging(o.TempDir)
	if err != nil {
		return nil, err
	}
	return &archiveDestination{s, ref}, nil
}

func (a *archiveDestination) limits() limits {
	if a.ref.Kind == image.DockerArchive {
		return limits{compression: "gzip", firstOnly: true}
	}
	return limits{}
}

func (a *archiveDestination) Publish(ctx context.Context, d v1.Descriptor, _ []byte) error {
	defer a.remove()
	if err := writeAtomically(a.ref.Dir, func(f *os.File) error {
		return writeArchive(ctx, f, a.staging, d, a.ref)
	}); err != nil {
		return fmt.Errorf("writing %s: %w", a.ref.Dir, err)
	}
	return nil
}

// writeArchive writes an OCI image layout as a tar stream: of root and all that it
// leads to. A docker archive has besides a manifest.json, by which engines before
// Docker 25 load its first image.
func writeArchive(ctx context.Context, w io.Writer, s *staging, root v1.Descriptor, ref image.Reference) error {
	c, err := contentsOf(s, root)
	if err != nil {
		return err
	}
	named := root
	if named.Annotations = archiveNames(ref); len(named.Annotations) == 0 {
		named.Annotations = nil
	}
	index, err := encode(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{named}})
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
	}
	for _, d := range c.order {
		r, err := s.section(d.Digest)
		if err != nil {
			return err
		}
		if err := addFile(t, blobName(d), r.Size(), cancelReader{ctx, r}); err != nil {
			return err
		}
	}
	documents := []struct {
		name string
		raw  []byte
	}{{ocispec.ImageIndexFile, index}, {ocispec.ImageLayoutFile, []byte(layoutVersion)}}
	if ref.Kind != image.OCIArchive {
		raw, err := c.dockerManifest(ref)
		if err != nil {
			return err
		}
		documents = append(documents, struct {
			name string
			raw  []byte
		}{"manifest.json", raw})
	}
	for _, d := range documents {
		if err := addFile(t, d.name, int64(len(d.raw)), bytes.NewReader(d.raw)); err != nil {
			return err
		}
	}
	return t.Close()
}

func addFile(t *tar.Writer, name string, size int64, r io.Reader) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err := io.Copy(t, r)
	return err
}

func blobName(d v1.Descriptor) string { return "blobs/" + d.Digest.Algorithm + "/" + d.Digest.Hex }

// archiveNames are the annotations by which an archive's index tells the image's name.
func archiveNames(ref image.Reference) map[string]string {
	out := map[string]string{}
	if ref.Tag != "" {
		out[ocispec.AnnotationRefName] = ref.Tag
	}
	if ref.Name != nil {
		out[image.AnnotationContainerdName] = image.FullName(ref)
		out[ocispec.AnnotationRefName] = ref.Name.Identifier()
	}
	return out
}

// archived is what an archive consists of.
type archived struct {
	order  []v1.Descriptor
	images []v1.Manifest // without attestations, and images for Windows
}

// contentsOf walks from a manifest to all that it leads to; parts come before what
// names them, each once.
func contentsOf(s *staging, root v1.Descriptor) (*archived, error) {
	c := &archived{}
	return c, c.walk(s, root)
}

func (c *archived) walk(s *staging, d v1.Descriptor) error {
	if slices.ContainsFunc(c.order, func(o v1.Descriptor) bool { return o.Digest == d.Digest }) {
		return nil
	}
	raw, err := s.Manifest(context.Background(), d)
	if err != nil {
		return err
	}
	var m struct {
		v1.Manifest
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("parsing manifest %s: %w", d.Digest, err)
	}
	if d.MediaType.IsIndex() {
		for _, child := range m.Manifests {
			if err := c.walk(s, child); err != nil {
				return err
			}
		}
	} else {
		for _, part := range append(slices.Clone(m.Layers), m.Config) {
			if part.MediaType.IsDistributable() && !slices.ContainsFunc(c.order, func(o v1.Descriptor) bool { return o.Digest == part.Digest }) {
				c.order = append(c.order, part)
			}
		}
		if m.Manifest.Config.MediaType.IsConfig() && !image.IsAttestation(d) && (d.Platform == nil || !strings.EqualFold(d.Platform.OS, "windows")) {
			c.images = append(c.images, m.Manifest)
		}
	}
	c.order = append(c.order, d)
	return nil
}

// dockerManifest is the manifest.json of the first image.
func (c *archived) dockerManifest(ref image.Reference) ([]byte, error) {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	entries := []entry{}
	if len(c.images) > 0 {
		m := c.images[0]
		e := entry{Config: blobName(m.Config), Layers: []string{}}
		if ref.Name != nil {
			e.RepoTags = []string{image.FamiliarName(ref)}
		}
		for _, l := range m.Layers {
			e.Layers = append(e.Layers, blobName(l))
		}
		entries = append(entries, e)
	}
	return encode(entries)
}
