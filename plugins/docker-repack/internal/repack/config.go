package repack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// inlineCacheKey holds BuildKit's inline cache, which maps build steps to layers
// by their number: with other layers it would give wrong results.
const inlineCacheKey = "moby.buildkit.cache.v0"

// object is a JSON object whose unknown members stay as they are.
type object map[string]json.RawMessage

func (o object) set(key string, value any) error {
	raw, err := encode(value)
	o[key] = raw
	return err
}

// encode is json.Marshal without escapes for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// newConfig is the source's config with the new layers. Of the history, the
// source's entries stay; those of base layers that are kept still own them, the
// others own no layer any more. Each other layer adds one entry.
// Inline reports that an inline build cache was left out.
func newConfig(o *original, layers []*stored) (raw []byte, inline bool, err error) {
	config := object{}
	if err := json.Unmarshal(o.rawConfig, &config); err != nil {
		return nil, false, err
	}
	var history []object
	if h, ok := config["history"]; ok {
		if err := json.Unmarshal(h, &history); err != nil {
			return nil, false, fmt.Errorf("parsing the history of %s: %w", o.manifest.Config.Digest, err)
		}
	}
	base := 0 // layers of the base, which the source's own history is about
	if createdBy(o) != nil {
		for base < len(layers) && layers[base].kept != nil && layers[base].kept.from == KeptBase {
			base++
		}
	}
	owned := 0
	for i, h := range history {
		if h == nil {
			h = object{}
			history[i] = h
		}
		var empty bool
		_ = json.Unmarshal(h["empty_layer"], &empty)
		if !empty && owned < base {
			owned++
			continue
		}
		h["empty_layer"] = json.RawMessage("true")
	}
	diffIDs := make([]v1.Hash, len(layers))
	for i, l := range layers {
		diffIDs[i] = l.diffID
		if i < base {
			continue
		}
		h := object{}
		if created, ok := config["created"]; ok {
			h["created"] = created // not the time of repacking: equal inputs, equal bytes
		}
		if err := h.set("created_by", fmt.Sprintf("docker repack # layer %d of %d, %d entries", i+1, len(layers), l.entries)); err != nil {
			return nil, false, err
		}
		if err := h.set("comment", "repacked from "+o.descriptor.Digest.String()); err != nil {
			return nil, false, err
		}
		history = append(history, h)
	}
	if err := config.set("history", history); err != nil {
		return nil, false, err
	}
	if err := config.set("rootfs", struct {
		Type    string    `json:"type"`
		DiffIDs []v1.Hash `json:"diff_ids"`
	}{"layers", diffIDs}); err != nil {
		return nil, false, err
	}
	_, inline = config[inlineCacheKey]
	delete(config, inlineCacheKey)
	raw, err = encode(config)
	return raw, inline, err
}

// A document is a manifest or config that is to be stored.
type document struct {
	descriptor v1.Descriptor
	raw        []byte
}

func newDocument(mediaType types.MediaType, raw []byte) (document, error) {
	hash, size, err := v1.SHA256(bytes.NewReader(raw))
	return document{v1.Descriptor{MediaType: mediaType, Digest: hash, Size: size}, raw}, err
}

// newManifest is the source's manifest with the new config and layers, as an OCI
// manifest: Docker's own media types know no zstd.
func newManifest(o *original, config document, layers []*stored, tree string) (document, error) {
	m := object{}
	if err := json.Unmarshal(o.rawManifest, &m); err != nil {
		return document{}, err
	}
	descriptors := make([]v1.Descriptor, len(layers))
	for i, l := range layers {
		descriptors[i] = l.descriptor
	}
	annotations := maps.Clone(o.manifest.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[wire.AnnotationRepackSource] = o.descriptor.Digest.String()
	annotations[wire.AnnotationRepackTree] = tree
	for key, value := range map[string]any{
		"schemaVersion": 2,
		"mediaType":     types.OCIManifestSchema1,
		"config":        config.descriptor,
		"layers":        descriptors,
		"annotations":   annotations,
	} {
		if err := m.set(key, value); err != nil {
			return document{}, err
		}
	}
	raw, err := encode(m)
	if err != nil {
		return document{}, err
	}
	return newDocument(types.OCIManifestSchema1, raw)
}
