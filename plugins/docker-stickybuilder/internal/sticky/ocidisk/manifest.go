package ocidisk

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// A record is what a manifest says of its generation.
type record struct {
	disk.Generation
	Entries int64    `json:"entries"`
	Bytes   int64    `json:"bytes"` // of all files
	Index   []string `json:"index"` // digests of the parts of the tree index, in their order
}

// A manifest is a generation's, or a head's that is none.
type manifest struct {
	raw    []byte
	digest string
	record *record              // nil for "there is no head"
	parts  []ocispec.Descriptor // of the tree index
	packs  map[chunk.ID]bool
	inline map[digest.Digest][]byte // parts and packs that are in the manifest itself
}

func (m *manifest) id() string {
	if m == nil || m.record == nil {
		return ""
	}
	return m.record.ID
}

// empty is the blob that stands where a manifest needs one and has nothing to say.
var empty = []byte("{}")

func newManifest(annotations map[string]string, layers []ocispec.Descriptor) ([]byte, error) {
	nothing := ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: digest.FromBytes(empty), Size: int64(len(empty))}
	if len(layers) == 0 {
		layers = []ocispec.Descriptor{nothing}
	}
	return json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: wire.ArtifactStickyDisk,
		Config: nothing, Layers: layers, Annotations: annotations,
	})
}

// maxInline bounds the blobs that a manifest holds itself, in bytes before they are
// encoded: the manifest is sent twice, and a commit that changes little is to send little.
const maxInline = 24 << 10

// generationManifest describes a generation whose blobs are all there, or inline.
func generationManifest(r record, parts []ocispec.Descriptor, packs []*chunk.Pack, inline map[digest.Digest][]byte) (*manifest, error) {
	var layers []ocispec.Descriptor
	for _, p := range parts {
		r.Index = append(r.Index, p.Digest.String())
		if inline[p.Digest] == nil {
			layers = append(layers, p)
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	for _, p := range packs {
		if inline[digestOf(p)] != nil {
			continue
		}
		d := ocispec.Descriptor{MediaType: wire.MediaTypeDiskPack, Digest: digestOf(p), Size: p.Size}
		if p.Encoding == chunk.Zstd {
			d.MediaType = wire.MediaTypeDiskPackZstd
		}
		layers = append(layers, d)
	}
	a := map[string]string{
		wire.AnnotationDiskGeneration: string(text),
		wire.AnnotationDiskKey:        r.Lineage.Key,
		wire.AnnotationDiskPlatform:   r.Lineage.Platform,
		wire.AnnotationDiskBuilder:    r.Builder,
		wire.AnnotationDiskBuildkit:   r.BuildkitVersion,
		ocispec.AnnotationCreated:     r.Created.Format(time.RFC3339),
	}
	if len(inline) > 0 {
		blobs, err := json.Marshal(inline)
		if err != nil {
			return nil, err
		}
		a[wire.AnnotationDiskInline] = string(blobs)
	}
	if r.Lineage.Ref != "" {
		a[wire.AnnotationDiskRef] = r.Lineage.Ref
	}
	if r.Parent != "" {
		a[wire.AnnotationDiskParent] = r.Parent
	}
	raw, err := newManifest(a, layers)
	if err != nil {
		return nil, err
	}
	return parseManifest(raw)
}

func digestOf(p *chunk.Pack) digest.Digest {
	return digest.NewDigestFromBytes(digest.SHA256, p.Digest[:])
}

// marker is the manifest of a tag that only says something.
func marker(l disk.Lineage, text string) ([]byte, error) {
	return newManifest(map[string]string{
		wire.AnnotationDiskMark: text, wire.AnnotationDiskKey: l.Key, wire.AnnotationDiskRef: l.Ref, wire.AnnotationDiskPlatform: l.Platform,
	}, nil)
}

// parseManifest reads what a registry has, and believes none of it that can be checked.
func parseManifest(raw []byte) (*manifest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	if m.ArtifactType != wire.ArtifactStickyDisk {
		family := strings.TrimSuffix(wire.ArtifactStickyDisk, "v1+json")
		if strings.HasPrefix(m.ArtifactType, family) {
			return nil, newer(fmt.Errorf("%w: %s", disk.ErrNewer, m.ArtifactType))
		}
		return nil, fmt.Errorf("it is no sticky disk: artifact type %q", m.ArtifactType)
	}
	out := &manifest{raw: raw, digest: digest.FromBytes(raw).String(), packs: map[chunk.ID]bool{}}
	text, ok := m.Annotations[wire.AnnotationDiskGeneration]
	if !ok {
		return out, nil
	}
	out.record = &record{}
	if err := json.Unmarshal([]byte(text), out.record); err != nil {
		return nil, fmt.Errorf("reading the generation's description: %w", err)
	}
	switch r := out.record; {
	case r.Format > disk.Format:
		return nil, newer(fmt.Errorf("%w: format %d, and this one reads up to %d", disk.ErrNewer, r.Format, disk.Format))
	case !disk.ValidID(r.ID), r.Parent != "" && !disk.ValidID(r.Parent), r.Bytes < 0, r.Entries < 0:
		return nil, errors.New("the generation's description is damaged")
	}
	// They are shown on terminals.
	out.record.Builder, out.record.BuildkitVersion = disk.CleanKey(out.record.Builder), disk.CleanKey(out.record.BuildkitVersion)
	if err := out.readInline(m.Annotations[wire.AnnotationDiskInline]); err != nil {
		return nil, err
	}
	if err := out.readLayers(m.Layers); err != nil {
		return nil, err
	}
	return out, nil
}

// readInline takes the blobs that a manifest holds itself, if each has its digest.
func (m *manifest) readInline(text string) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &m.inline); err != nil {
		return fmt.Errorf("reading the blobs in the manifest: %w", err)
	}
	for d, data := range m.inline {
		if digest.FromBytes(data) != d {
			return errors.New("a blob in the manifest does not have its digest")
		}
	}
	return nil
}

func (m *manifest) readLayers(layers []ocispec.Descriptor) error {
	index := map[digest.Digest]ocispec.Descriptor{}
	for d, data := range m.inline {
		index[d] = ocispec.Descriptor{MediaType: wire.MediaTypeDiskIndex, Digest: d, Size: int64(len(data))}
	}
	for _, d := range layers {
		switch d.MediaType {
		case wire.MediaTypeDiskIndex:
			if d.Size <= 0 || d.Size > treeindex.MaxPart || d.Digest.Validate() != nil {
				return errors.New("a part of the tree index has a size or digest that none can have")
			}
			index[d.Digest] = d
		case wire.MediaTypeDiskPack, wire.MediaTypeDiskPackZstd:
			var id chunk.ID
			if d.Digest.Validate() != nil || d.Digest.Algorithm() != digest.SHA256 {
				return errors.New("a pack has a digest that none can have")
			}
			if _, err := hex.Decode(id[:], []byte(d.Digest.Encoded())); err != nil {
				return err
			}
			m.packs[id] = true
		}
	}
	var total int64
	for _, d := range m.record.Index {
		part, ok := index[digest.Digest(d)]
		if !ok {
			return errors.New("a part of the tree index is missing")
		}
		if total += part.Size; total > treeindex.MaxParts {
			return errors.New("the tree index is too big")
		}
		m.parts = append(m.parts, part)
	}
	if len(m.parts) == 0 {
		return errors.New("the generation has no tree index")
	}
	return nil
}

func newer(err error) error {
	return fault.Hint(err, "upgrade the plugin, or name another repository with --disk oci:REGISTRY/REPO")
}
