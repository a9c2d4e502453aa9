package repack

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// A base is what is known of the image that a source was built upon.
type base struct {
	layers int    // that it has, the source's lowest; 0 if it is not known
	kept   int    // of the source's lowest layers
	image  string // its reference, if an annotation told it
}

// Annotations of an image that name its base, by the OCI image specification
// (annotations.md).
const (
	annotationBaseName   = "org.opencontainers.image.base.name"
	annotationBaseDigest = "org.opencontainers.image.base.digest"
)

// findBase finds out how many of the source's lowest layers are its base's, and how
// many are to stay.
func (r *run) findBase(ctx context.Context, o *original, platform string) (base, error) {
	have := len(o.manifest.Layers)
	switch n := r.opts.KeepBase; {
	case n > have:
		return base{}, fault.Hint(fmt.Errorf("the image has %d layers, not %d", have, n), "keep fewer: --keep-base=%d", have)
	case n > 0:
		return base{layers: n, kept: n}, nil
	case n == 0:
		return base{layers: guessBase(o.rawConfig)}, nil
	}
	b, err := r.annotatedBase(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return base{}, context.Cause(ctx)
		}
		r.warn("%s: the base image that the annotations name does not tell how many layers to keep, the history does: %v", platform, err)
	}
	if b.layers == 0 {
		b.layers = guessBase(o.rawConfig)
	}
	if b.layers == 0 {
		return base{}, fault.Hint(fmt.Errorf("where the base image of %s ends is not known: no command stands in its history before a layer", o.descriptor.Digest),
			"tell how many layers it has: --keep-base=N")
	}
	b.kept = b.layers
	return b, nil
}

// annotatedBase counts the layers of the base image that the source's annotations
// name: those of its manifest, its entry in an index, or its labels. The zero base
// means that they name none.
func (r *run) annotatedBase(ctx context.Context, o *original) (base, error) {
	var config struct {
		Config struct{ Labels map[string]string }
	}
	_ = json.Unmarshal(o.rawConfig, &config) // labels of another form name nothing
	annotation := func(key string) string {
		return cmp.Or(o.manifest.Annotations[key], o.descriptor.Annotations[key], config.Config.Labels[key])
	}
	named := annotation(annotationBaseName)
	if named == "" || named == "scratch" || r.opts.Resolve == nil {
		return base{}, nil
	}
	if digest := annotation(annotationBaseDigest); digest != "" {
		n, err := name.ParseReference(named)
		if err != nil {
			return base{}, err
		}
		named = n.Context().Name() + "@" + digest // the tag may have moved on
	}
	ref, err := image.Parse(named)
	if err == nil {
		err = ref.Only(image.Registry)
	}
	if err != nil {
		return base{}, err
	}
	subject, err := r.opts.Resolve(ctx, ref)
	if err != nil {
		return base{}, err
	}
	found, err := imagesLike(ctx, o, subject)
	if err != nil {
		return base{}, fmt.Errorf("reading %s: %w", ref, err)
	}
	for _, c := range found {
		below := c.config.RootFS.DiffIDs
		if samePlatform(c.original.platform(), o.platform()) && len(below) > 0 && len(below) <= len(o.config.RootFS.DiffIDs) && slices.Equal(below, o.config.RootFS.DiffIDs[:len(below)]) {
			return base{layers: len(below), image: named}, nil
		}
	}
	return base{}, fmt.Errorf("the layers of %s are not the image's lowest ones", ref)
}

// guessBase returns how many layers the base image has: those before the last CMD
// or ENTRYPOINT of the history that layers follow. Such an instruction does
// nothing but set a default, and mostly ends an image; whoever builds upon it sets
// another after adding layers. 0 means that the history does not tell.
func guessBase(rawConfig []byte) int {
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []struct {
			CreatedBy  string `json:"created_by"`
			EmptyLayer bool   `json:"empty_layer"`
		} `json:"history"`
	}
	if json.Unmarshal(rawConfig, &config) != nil {
		return 0
	}
	layers, last, base := 0, 0, 0
	for _, h := range config.History {
		switch {
		case !h.EmptyLayer:
			base = last
			layers++
		case isDefault(h.CreatedBy):
			last = layers
		}
	}
	if layers != len(config.RootFS.DiffIDs) {
		return 0
	}
	return base
}

// isDefault recognises CMD and ENTRYPOINT as BuildKit and the classic builder
// write them.
func isDefault(createdBy string) bool {
	step := strings.TrimSpace(strings.TrimPrefix(createdBy, "/bin/sh -c #(nop)"))
	return strings.HasPrefix(step, "CMD ") || strings.HasPrefix(step, "ENTRYPOINT ")
}
